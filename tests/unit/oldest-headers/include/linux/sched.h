/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_SCHED_H
#define OLDEST_LINUX_SCHED_H

#include <linux/thread_info.h>

struct task_struct {
	void *stack;
	unsigned int flags;
	int usage;
};

#define PF_KTHREAD	0x00200000

#define current			(current_thread_info()->task)
#define task_stack_page(task)	((task)->stack)

void __put_task_struct(struct task_struct *task);

static inline void get_task_struct(struct task_struct *task)
{
	task->usage++;
}

static inline void put_task_struct(struct task_struct *task)
{
	if (!--task->usage)
		__put_task_struct(task);
}

int wake_up_process(struct task_struct *task);
long schedule_timeout_interruptible(long timeout);
int _cond_resched(void);
#define cond_resched()	_cond_resched()

#endif
