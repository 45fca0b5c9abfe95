/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_VMALLOC_H
#define OLDEST_LINUX_VMALLOC_H

void *vmalloc(unsigned long size);
void *vzalloc(unsigned long size);
void vfree(const void *at);

#endif
