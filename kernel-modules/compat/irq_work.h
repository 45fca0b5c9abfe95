/* SPDX-License-Identifier: GPL-2.0 */
/* Before v5.10, every irq_work ran in hardirq context. */
#define IRQ_WORK_INIT_HARD(function)	{ .func = (function) }
