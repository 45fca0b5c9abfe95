/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Before v5.12 a reader of the kernel's log is a struct kmsg_dumper, which has to be
 * active.
 */
#ifndef COMPAT_KMSG_DUMP_H
#define COMPAT_KMSG_DUMP_H

#include <linux/kmsg_dump.h>

#ifdef COMPAT_NO_KMSG_DUMP_ITER
#define kmsg_dump_iter		kmsg_dumper
#define COMPAT_LOG_READER	{ .active = true }
#else
#define COMPAT_LOG_READER	{}
#endif

#endif /* COMPAT_KMSG_DUMP_H */
