/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_SLAB_H
#define OLDEST_LINUX_SLAB_H

#include <linux/types.h>

#define GFP_KERNEL	0xd0u

void *__kmalloc(size_t size, gfp_t flags);
#define kmalloc(size, flags)	__kmalloc(size, flags)
void kfree(const void *at);

#endif
