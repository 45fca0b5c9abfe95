/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_KTIME_H
#define OLDEST_LINUX_KTIME_H

#include <linux/types.h>

typedef union {
	s64 tv64;
} ktime_t;

ktime_t ktime_get(void);
s64 ktime_to_ms(const ktime_t time);

#endif
