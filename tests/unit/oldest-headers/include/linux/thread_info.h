/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_THREAD_INFO_H
#define OLDEST_LINUX_THREAD_INFO_H

#include <linux/types.h>

#define THREAD_SIZE	16384
#define THREAD_START_SP	(THREAD_SIZE - 16)

struct task_struct;

struct thread_info {
	struct task_struct *task;
	int preempt_count;
	int cpu;
};

static inline struct thread_info *current_thread_info(void)
{
	register unsigned long sp asm("sp");

	return (struct thread_info *)(sp & ~(THREAD_SIZE - 1UL));
}

#endif
