// SPDX-License-Identifier: GPL-2.0
/*
 * Saves and restores what the policy selects, for a kernel's own jprobes.
 */
#include <linux/export.h>
#include <linux/kprobes.h>
#include <linux/percpu.h>
#include <linux/ptrace.h>
#include <linux/smp.h>
#include <asm/stacktrace.h>
#include <generated/jprobe_policy.h>

#include "jprobe_stack.h"
#include "native_stack.h"

/* Where a policy is compiled in, it cannot be changed at run time. */
#ifdef JPROBE_POLICY
static const struct stack_policy fixed_policy = JPROBE_POLICY;
#define followed_policy		(&fixed_policy)
struct jprobe_stack jprobe_stack = { .fixed = true, .policy = JPROBE_POLICY };
#else
#define followed_policy		(&jprobe_stack.policy)
struct jprobe_stack jprobe_stack;
#endif
EXPORT_SYMBOL_GPL(jprobe_stack);

static DEFINE_PER_CPU(u8 [STACK_SAVE_SIZE], jprobe_save) __aligned(16);
static DEFINE_PER_CPU(long, jprobe_saved);

/* The highest address that a frame on this CPU's interrupt stack has, or 0. */
static unsigned long irq_stack_top(void)
{
#if defined(IRQ_STACK_PTR)
	return IRQ_STACK_PTR(raw_smp_processor_id());
#elif defined(OVERFLOW_STACK_SIZE)	/* v4.14 */
	return (unsigned long)this_cpu_read(irq_stack_ptr) + IRQ_STACK_SIZE;
#else
	return 0;
#endif
}

/* Another function's signature would put back the wrong bytes. */
static bool __kprobes signature_known(const struct pt_regs *regs)
{
	return followed_policy->kind != STACK_POLICY_SIGNATURE ||
	       (void *)regs->pc == jprobe_stack.function;
}

/* Returns false where the policy skips the handler. */
bool __kprobes jprobe_stack_save(const struct pt_regs *regs)
{
	struct stack_hit hit;
	long saved = -1;

	native_stack_hit(&hit, regs, irq_stack_top());
	jprobe_stack.overflow = 0;
	if (signature_known(regs))
		saved = stack_policy_save(*this_cpu_ptr(&jprobe_save),
					  followed_policy,
					  jprobe_stack.signature, regs, &hit,
					  &jprobe_stack.overflow);
	jprobe_stack.saved = saved;
	if (saved >= 0)
		__this_cpu_write(jprobe_saved, saved);
	return saved >= 0;
}

void __kprobes jprobe_stack_restore(const struct pt_regs *regs)
{
	stack_policy_restore(*this_cpu_ptr(&jprobe_save),
			     __this_cpu_read(jprobe_saved), followed_policy,
			     jprobe_stack.signature, regs);
}
