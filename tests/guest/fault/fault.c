// SPDX-License-Identifier: GPL-2.0
/* Breaks the kernel it is loaded into, in the way that the parameter names. */
#include <linux/bug.h>
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/smp.h>

static char *kind = "";
module_param(kind, charp, 0);

static void spin(void *unused)
{
	for (;;)
		cpu_relax();
}

static int __init fault_init(void)
{
	if (!strcmp(kind, "panic"))
		panic("asked for");
	if (!strcmp(kind, "oops"))
		WRITE_ONCE(*(int *)NULL, 1);
	if (!strcmp(kind, "bug"))
		BUG();
	if (!strcmp(kind, "warning"))
		WARN(1, "asked for");
	if (!strcmp(kind, "soft-lockup")) {
		preempt_disable();
		spin(NULL);
	}
	if (!strcmp(kind, "hung-task")) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
	}
	if (!strcmp(kind, "hung-kernel")) {
		smp_call_function(spin, NULL, 0);
		local_irq_disable();
		spin(NULL);
	}
	return -EINVAL;
}

module_init(fault_init);
MODULE_DESCRIPTION("ways for a kernel to die");
MODULE_LICENSE("GPL");
