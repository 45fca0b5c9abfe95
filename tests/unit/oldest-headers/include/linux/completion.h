/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_COMPLETION_H
#define OLDEST_LINUX_COMPLETION_H

#include <linux/types.h>

typedef struct {
	struct list_head task_list;
} wait_queue_head_t;

struct completion {
	unsigned int done;
	wait_queue_head_t wait;
};

void __init_waitqueue_head(wait_queue_head_t *queue);
void complete(struct completion *x);
void wait_for_completion(struct completion *x);
int wait_for_completion_interruptible(struct completion *x);

static inline void init_completion(struct completion *x)
{
	x->done = 0;
	__init_waitqueue_head(&x->wait);
}

#define DECLARE_COMPLETION(work)	struct completion work = { .done = 0 }
#define DECLARE_COMPLETION_ONSTACK(work)	\
	struct completion work = { .done = ({ init_completion(&work); 0; }) }

#endif
