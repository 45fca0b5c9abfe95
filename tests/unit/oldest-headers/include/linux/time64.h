/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_TIME64_H
#define OLDEST_LINUX_TIME64_H

#include <linux/types.h>

/* On a machine of 64 bits it is struct timespec. */
struct timespec64 {
	long tv_sec;
	long tv_nsec;
};

#endif
