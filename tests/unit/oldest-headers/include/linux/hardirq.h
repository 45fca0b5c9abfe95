/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_HARDIRQ_H
#define OLDEST_LINUX_HARDIRQ_H

#include <linux/preempt.h>

#define hardirq_count()		(preempt_count() & 0xf0000)
#define in_serving_softirq()	(preempt_count() & 0x100)

#endif
