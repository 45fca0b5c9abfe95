/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_KERNEL_H
#define OLDEST_LINUX_KERNEL_H

#include <stdarg.h>
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/types.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define IS_ALIGNED(x, a)	(((x) & ((typeof(x))(a) - 1)) == 0)
#define min(x, y)		((x) < (y) ? (x) : (y))
#define max(x, y)		((x) > (y) ? (x) : (y))
#define min_t(type, x, y)	min((type)(x), (type)(y))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - __builtin_offsetof(type, member)))

__printf(1, 2) int printk(const char *format, ...);
#define pr_notice(format, ...)	printk(format, ##__VA_ARGS__)

__attribute__((format(scanf, 2, 3))) int sscanf(const char *buf, const char *format, ...);
int kstrtouint(const char *s, unsigned int base, unsigned int *result);
int kstrtoll(const char *s, unsigned int base, long long *result);
#define kstrtos64(s, base, result)	kstrtoll(s, base, result)
char *bin2hex(char *to, const void *from, size_t count);
int hex2bin(u8 *to, const char *from, size_t count);
int test_taint(unsigned int flag);

#endif
