/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_INTERRUPT_H
#define OLDEST_LINUX_INTERRUPT_H

#include <linux/bottom_half.h>
#include <linux/hardirq.h>
#include <linux/types.h>

struct tasklet_struct {
	struct tasklet_struct *next;
	unsigned long state;
	atomic_t count;
	void (*func)(unsigned long data);
	unsigned long data;
};

void tasklet_init(struct tasklet_struct *t, void (*func)(unsigned long data),
		  unsigned long data);
void tasklet_kill(struct tasklet_struct *t);
void __tasklet_schedule(struct tasklet_struct *t);
int test_and_set_bit(int nr, volatile unsigned long *p);

static inline void tasklet_schedule(struct tasklet_struct *t)
{
	if (!test_and_set_bit(0, &t->state))
		__tasklet_schedule(t);
}

#endif
