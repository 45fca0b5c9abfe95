/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_SMP_H
#define OLDEST_LINUX_SMP_H

#include <linux/cpumask.h>
#include <linux/preempt.h>

struct call_single_data {
	void (*func)(void *info);
	void *info;
	unsigned int flags;
};

#define raw_smp_processor_id()	(current_thread_info()->cpu)
#define smp_processor_id()	raw_smp_processor_id()

int smp_call_function_single_async(int cpu, struct call_single_data *csd);

#endif
