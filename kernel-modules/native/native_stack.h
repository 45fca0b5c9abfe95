/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Finds the stack that a probe was hit on, in kernels that have jprobes.
 */
#ifndef NATIVE_STACK_H
#define NATIVE_STACK_H

#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>

#include "stack_policy.h"

/* @irq_top: the top of this CPU's interrupt stack, 0 where there is none */
static inline void native_stack_hit(struct stack_hit *hit,
				    const struct pt_regs *regs,
				    unsigned long irq_top)
{
	unsigned long base = (unsigned long)task_stack_page(current);

	hit->sp = regs->sp;
	hit->fp = regs->regs[29];
	hit->irq = irq_top && hit->sp <= irq_top &&
		   hit->sp > irq_top - IRQ_STACK_SIZE;
	hit->top = hit->irq ? irq_top : base + STACK_TOP_OFFSET;
}

#endif /* NATIVE_STACK_H */
