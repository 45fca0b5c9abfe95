// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's own jprobes, each with a kprobe that observes its hits.
 *
 * A kernel that was made to follow stack policies (native/jprobe_stack.cocci)
 * has a symbol for it; any other kernel follows its own, STACK_POLICY_KERNEL.
 */
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/percpu.h>

#include "jprobe_native.h"
#include "jprobe_stack.h"
#include "native_stack.h"

/* NULL in a kernel that follows its own policy. */
static struct jprobe_stack *kernel_stack;

/* Per-CPU, or 0: the interrupt stack itself up to v4.13, then a pointer to it. */
static unsigned long own_irq_stack, own_irq_stack_ptr;

static unsigned long irq_stack_top(void)
{
#ifdef IRQ_STACK_START_SP
	const size_t offset = IRQ_STACK_START_SP;
#else
	const size_t offset = IRQ_STACK_SIZE;
#endif

	if (own_irq_stack_ptr)
		return *this_cpu_ptr((unsigned long __percpu *)own_irq_stack_ptr) +
		       offset;
	if (own_irq_stack)
		return (unsigned long)this_cpu_ptr((u8 __percpu *)own_irq_stack) +
		       offset;
	return 0;
}

static int observe(struct kprobe *kp, struct pt_regs *regs)
{
	struct policy_jprobe *jp =
		container_of(kp, struct policy_jprobe, observer);

	atomic_long_inc(&jp->stat.hits);
	native_stack_hit(&jp->stat.stack, regs, irq_stack_top());
	return 0;
}

NOKPROBE_SYMBOL(observe);

/* Has the kernel follow a policy; of signatures, it knows the last one's. */
static int follow(const struct policy_jprobe *jp,
		  const struct stack_policy *policy)
{
	if (!kernel_stack)
		return policy->kind == STACK_POLICY_KERNEL ? 0 : -EINVAL;
	if (!stack_policy_fits(policy, jp->signature))
		return -EINVAL;
	kernel_stack->function = jp->addr;
	kernel_stack->signature = jp->signature;
	if (kernel_stack->fixed)
		return policy->kind == kernel_stack->policy.kind &&
		       policy->size == kernel_stack->policy.size ? 0 : -EINVAL;
	kernel_stack->policy = *policy;
	return 0;
}

int register_policy_jprobe(struct policy_jprobe *jp)
{
	int err = follow(jp, &jp->policy);

	if (err)
		return err;
	/* A kprobe that was unregistered stays disabled. */
	jp->observer = (struct kprobe){
		.addr = jp->addr,
		.pre_handler = observe,
	};
	jp->jprobe = (struct jprobe){
		.kp.addr = jp->addr,
		.entry = jp->entry,
	};
	memset(&jp->stat, 0, sizeof(jp->stat));
	err = register_kprobe(&jp->observer);
	if (err)
		return err;
	err = register_jprobe(&jp->jprobe);
	if (err)
		unregister_kprobe(&jp->observer);
	return err;
}
EXPORT_SYMBOL_GPL(register_policy_jprobe);

void unregister_policy_jprobe(struct policy_jprobe *jp)
{
	unregister_jprobe(&jp->jprobe);
	unregister_kprobe(&jp->observer);
}
EXPORT_SYMBOL_GPL(unregister_policy_jprobe);

int policy_jprobe_reset(struct policy_jprobe *jp,
			const struct stack_policy *policy)
{
	memset(&jp->stat, 0, sizeof(jp->stat));
	jp->jprobe.kp.nmissed = 0;
	jp->policy = *policy;
	return follow(jp, policy);
}
EXPORT_SYMBOL_GPL(policy_jprobe_reset);

void policy_jprobe_stat(const struct policy_jprobe *jp,
			struct jprobe_stat *stat)
{
	unsigned long missed = jp->jprobe.kp.nmissed;

	*stat = jp->stat;
	/* The observer does not run for missed hits, which the kernel counts. */
	atomic_long_add(missed, &stat->hits);
	atomic_long_set(&stat->missed, missed);
	if (kernel_stack) {
		stat->known = true;
		stat->saved = kernel_stack->saved;
		stat->overflow = kernel_stack->overflow;
		atomic_long_set(&stat->skipped, kernel_stack->saved < 0);
	}
}
EXPORT_SYMBOL_GPL(policy_jprobe_stat);

static int __init jprobe_native_init(void)
{
	kernel_stack = (struct jprobe_stack *)__symbol_get("jprobe_stack");
	own_irq_stack_ptr = kallsyms_lookup_name("irq_stack_ptr");
	own_irq_stack = kallsyms_lookup_name("irq_stack");
	return 0;
}

static void __exit jprobe_native_exit(void)
{
	if (kernel_stack)
		__symbol_put("jprobe_stack");
}

module_init(jprobe_native_init);
module_exit(jprobe_native_exit);
MODULE_DESCRIPTION("the kernel's own jprobes under a stack policy");
MODULE_LICENSE("GPL");
