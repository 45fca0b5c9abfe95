/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_TIMEKEEPING_H
#define OLDEST_LINUX_TIMEKEEPING_H

#include <linux/time64.h>

int do_settimeofday64(const struct timespec64 *time);

#endif
