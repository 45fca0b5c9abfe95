/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_KTHREAD_H
#define OLDEST_LINUX_KTHREAD_H

#include <linux/err.h>
#include <linux/sched.h>

__attribute__((format(printf, 4, 5)))
struct task_struct *kthread_create_on_node(int (*threadfn)(void *data), void *data, int node,
					   const char namefmt[], ...);
void kthread_bind(struct task_struct *task, unsigned int cpu);
int kthread_stop(struct task_struct *task);
bool kthread_should_stop(void);

#define kthread_create(threadfn, data, namefmt, ...) \
	kthread_create_on_node(threadfn, data, -1, namefmt, ##__VA_ARGS__)
#define kthread_run(threadfn, data, namefmt, ...) ({		\
	struct task_struct *__task =				\
		kthread_create(threadfn, data, namefmt, ##__VA_ARGS__);	\
	if (!IS_ERR(__task))					\
		wake_up_process(__task);			\
	__task;							\
})

#endif
