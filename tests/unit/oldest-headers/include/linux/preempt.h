/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_PREEMPT_H
#define OLDEST_LINUX_PREEMPT_H

#include <linux/thread_info.h>

#define preempt_count()	(current_thread_info()->preempt_count)

#define preempt_disable()	(preempt_count()++)
#define preempt_enable()	(preempt_count()--)

#endif
