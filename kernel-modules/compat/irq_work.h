/* SPDX-License-Identifier: GPL-2.0 */
/* Before v5.11. */
#include <linux/atomic.h>
#include <linux/irq_work.h>

/* Before v5.7, every irq_work runs in hardirq context. */
#ifdef COMPAT_NO_IRQ_WORK_FLAG
#define IRQ_WORK_INIT_HARD(function)	{ .func = (function) }
#else
#define IRQ_WORK_INIT_HARD(function) {			\
	.flags = ATOMIC_INIT(IRQ_WORK_HARD_IRQ),	\
	.func = (function),				\
}
#endif
