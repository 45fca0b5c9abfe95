/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_TYPES_H
#define OLDEST_LINUX_TYPES_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef unsigned char __u8;
typedef u64 __u64;
typedef unsigned long size_t;
typedef long ssize_t;
typedef long long loff_t;
typedef unsigned int gfp_t;
typedef unsigned short umode_t;
typedef _Bool bool;
typedef struct {
	int counter;
} atomic_t;
typedef struct {
	long counter;
} atomic64_t;
typedef atomic64_t atomic_long_t;

#define NULL	((void *)0)

enum {
	false,
	true
};

struct list_head {
	struct list_head *next, *prev;
};

#endif
