/* SPDX-License-Identifier: GPL-2.0 */
/* Kernels without IRQ_WORK_INIT_HARD() run every irq_work in hardirq context. */
#define IRQ_WORK_INIT_HARD(function)	{ .func = (function) }
