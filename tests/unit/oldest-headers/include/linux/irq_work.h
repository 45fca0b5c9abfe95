/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_IRQ_WORK_H
#define OLDEST_LINUX_IRQ_WORK_H

#include <linux/types.h>

struct llist_node {
	struct llist_node *next;
};

struct irq_work {
	unsigned long flags;
	struct llist_node llnode;
	void (*func)(struct irq_work *work);
};

bool irq_work_queue(struct irq_work *work);
void irq_work_sync(struct irq_work *work);

#endif
