/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Macros that some kernels lack.
 */
#ifndef COMPAT_H
#define COMPAT_H

#include <linux/bug.h>
#ifndef static_assert
#define static_assert(condition)				\
	extern char static_assertion[(condition) ? 1 : -1]
#endif

#include <linux/kernel.h>
#ifndef TAINT_FLAGS_COUNT
#define TAINT_FLAGS_COUNT		16
#endif

#include <linux/compiler.h>
#ifndef barrier_data
static inline void barrier_data(void *ptr)
{
	asm volatile("" : : "r" (ptr) : "memory");
}

#define barrier_data			barrier_data
#endif

#endif /* COMPAT_H */
