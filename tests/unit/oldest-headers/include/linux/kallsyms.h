/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_KALLSYMS_H
#define OLDEST_LINUX_KALLSYMS_H

unsigned long kallsyms_lookup_name(const char *name);

#endif
