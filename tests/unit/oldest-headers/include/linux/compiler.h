/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_COMPILER_H
#define OLDEST_LINUX_COMPILER_H

#define __user
#define __percpu
#define __init		__attribute__((__section__(".init.text")))
#define __exit		__attribute__((__section__(".exit.text")))
#define __packed	__attribute__((packed))
#define __aligned(x)	__attribute__((aligned(x)))
#define __printf(a, b)	__attribute__((format(printf, a, b)))
#define __always_inline	inline __attribute__((always_inline))
#define noinline	__attribute__((noinline))

#define barrier_data(ptr)	asm volatile("" : : "r" (ptr) : "memory")
#define unreachable()		__builtin_unreachable()
#define READ_ONCE(x)		(*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value)	(*(volatile typeof(x) *)&(x) = (value))

#endif
