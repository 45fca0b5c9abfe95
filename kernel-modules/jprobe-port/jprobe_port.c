// SPDX-License-Identifier: GPL-2.0
/*
 * jprobes on top of kprobes.
 *
 * A jprobe traps three times.  The first hit sends the CPU to the handler.
 * The handler's jprobe_return() moves SP back and runs into a kprobe of our
 * own, which restores registers and stack and returns to the probed function.
 * There the first probe hits again, and does nothing this time.  A kprobe that
 * another module has on the same function runs at both hits.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "inspected.h"
#include "jprobe_port.h"

#ifndef CONFIG_VMAP_STACK
#error "the top of an interrupt stack is only known for aligned (VMAP) stacks"
#endif

DEFINE_PER_CPU(struct jprobe_ctl, jprobe_ctl);

static void stack_hit_init(struct stack_hit *hit, const struct pt_regs *regs)
{
	unsigned long base = (unsigned long)task_stack_page(current);

	hit->sp = regs->sp;
	hit->fp = regs->regs[29];
	hit->irq = hit->sp < base || hit->sp > base + THREAD_SIZE;
	hit->top = hit->irq ? ALIGN(hit->sp, THREAD_SIZE) :
			      base + STACK_TOP_OFFSET;
}

/* Returns false where the policy skips the handler. */
static bool save_stack(struct jprobe_ctl *ctl, struct policy_jprobe *jp,
		       const struct pt_regs *regs)
{
	unsigned long overflow;
	struct stack_hit hit;
	long saved;

	stack_hit_init(&hit, regs);
	saved = stack_policy_save(ctl->save, &jp->policy, jp->signature, regs,
				  &hit, &overflow);
	if (saved >= 0)
		ctl->saved = saved;

	/* Others may hit the same probe: only the caller can rely on this. */
	jp->stat.stack = hit;
	jp->stat.saved = saved;
	jp->stat.overflow = overflow;
	return saved >= 0;
}

static int jprobe_return_hit(struct kprobe *kp, struct pt_regs *regs)
{
	struct jprobe_ctl *ctl = this_cpu_ptr(&jprobe_ctl);

	stack_policy_restore(ctl->save, ctl->saved, &ctl->jp->policy,
			     ctl->jp->signature, &ctl->regs);
	*regs = ctl->regs;
	ctl->phase = JPROBE_PASSING;
	return 1;
}

NOKPROBE_SYMBOL(jprobe_return_hit);

static struct kprobe return_probe = {
	.addr = (kprobe_opcode_t *)jprobe_return_trap,
	.pre_handler = jprobe_return_hit,
};

/*
 * jprobe_return() cannot trap while kprobes are disarmed.  They are armed
 * and disarmed under stop_machine(), so the answer holds until preemption is on
 * again.
 */
static bool return_probe_armed(void)
{
	return READ_ONCE(*return_probe.addr) != return_probe.opcode;
}

NOKPROBE_SYMBOL(return_probe_armed);

static void see(struct policy_jprobe *jp, const struct pt_regs *regs)
{
	if (jp->seen)
		jp->seen(jp, regs);
}

NOKPROBE_SYMBOL(see);

static int jprobe_hit(struct kprobe *kp, struct pt_regs *regs)
{
	struct policy_jprobe *jp = container_of(kp, struct policy_jprobe, kp);
	struct jprobe_ctl *ctl = this_cpu_ptr(&jprobe_ctl);

	/* An interrupt on the way to the second hit has another SP. */
	if (ctl->phase == JPROBE_PASSING && ctl->regs.sp == regs->sp &&
	    ctl->jp->kp.addr == kp->addr) {
		/* The function's other jprobe is on its way back here. */
		if (ctl->jp != jp)
			return 0;
		see(jp, regs);
		ctl->phase = JPROBE_IDLE;
		unpause_graph_tracing();
		preempt_enable();
		return 0;
	}

	if (READ_ONCE(jp->closing) || (jp->wanted && !jp->wanted(jp, regs)))
		return 0;
	atomic_long_inc(&jp->stat.hits);
	if (jp->watch) {
		stack_hit_init(&jp->stat.stack, regs);
		see(jp, regs);
		return 0;
	}
	if (ctl->phase != JPROBE_IDLE || !return_probe_armed()) {
		kp->nmissed++;
		atomic_long_inc(&jp->stat.missed);
		see(jp, regs);
		return 0;
	}
	if (!save_stack(ctl, jp, regs)) {
		atomic_long_inc(&jp->stat.skipped);
		see(jp, regs);
		return 0;
	}

	/* jprobe_return() leaves the handler without its epilogue. */
	preempt_disable();
	pause_graph_tracing();
	ctl->phase = JPROBE_HANDLER;
	ctl->jp = jp;
	ctl->regs = *regs;
	instruction_pointer_set(regs, (unsigned long)jp->entry);
	return 1;
}

NOKPROBE_SYMBOL(jprobe_hit);

/**
 * jprobe_return - end a jprobe handler
 *
 * Does not return to a handler: the probed function runs next, with the
 * registers of the hit and with the part of the stack that the probe's policy
 * saved.  Called from anywhere else, it warns and does nothing.
 */
noinline void jprobe_return(void)
{
	struct jprobe_ctl *ctl = this_cpu_ptr(&jprobe_ctl);

	if (WARN_ON_ONCE(ctl->phase != JPROBE_HANDLER))
		return;
	jprobe_return_to(ctl->regs.sp, ctl->regs.regs[29]);
}
EXPORT_SYMBOL_GPL(jprobe_return);

static void reset_stat(struct policy_jprobe *jp)
{
	memset(&jp->stat, 0, sizeof(jp->stat));
	jp->stat.known = true;
}

int register_policy_jprobe(struct policy_jprobe *jp)
{
	if (!stack_policy_fits(&jp->policy, jp->signature))
		return -EINVAL;
	/* A kprobe that was unregistered stays disabled. */
	jp->kp = (struct kprobe){
		.addr = jp->addr,
		.symbol_name = jp->symbol,
		.pre_handler = jprobe_hit,
	};
	jp->closing = false;
	reset_stat(jp);
	return register_kprobe(&jp->kp);
}
EXPORT_SYMBOL_GPL(register_policy_jprobe);

/* RCU must be watching when the probed function runs. */
void unregister_policy_jprobe(struct policy_jprobe *jp)
{
	/*
	 * A handler that runs now needs the probe once more, to leave it.  It
	 * runs with preemption off, so a grace period waits for it.
	 */
	WRITE_ONCE(jp->closing, true);
	synchronize_rcu();
	unregister_kprobe(&jp->kp);
}
EXPORT_SYMBOL_GPL(unregister_policy_jprobe);

int policy_jprobe_reset(struct policy_jprobe *jp,
			const struct stack_policy *policy)
{
	if (!stack_policy_fits(policy, jp->signature))
		return -EINVAL;
	reset_stat(jp);
	jp->policy = *policy;
	return 0;
}
EXPORT_SYMBOL_GPL(policy_jprobe_reset);

void policy_jprobe_stat(const struct policy_jprobe *jp,
			struct jprobe_stat *stat)
{
	*stat = jp->stat;
}
EXPORT_SYMBOL_GPL(policy_jprobe_stat);

static void free_saves(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kfree(per_cpu(jprobe_ctl, cpu).save);
}

static int __init jprobe_port_init(void)
{
	int cpu, err;

	BUILD_BUG_ON(IRQ_STACK_SIZE != THREAD_SIZE);

	for_each_possible_cpu(cpu) {
		u8 *save = kmalloc(STACK_SAVE_SIZE, GFP_KERNEL);

		if (!save) {
			free_saves();
			return -ENOMEM;
		}
		per_cpu(jprobe_ctl, cpu).save = save;
	}

	err = register_kprobe(&return_probe);
	if (err)
		free_saves();
	return err;
}

static void __exit jprobe_port_exit(void)
{
	unregister_kprobe(&return_probe);
	free_saves();
}

module_init(jprobe_port_init);
module_exit(jprobe_port_exit);
MODULE_DESCRIPTION("jprobes on top of arm64 kprobes");
MODULE_LICENSE("GPL");
