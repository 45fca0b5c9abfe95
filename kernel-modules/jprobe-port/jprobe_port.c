// SPDX-License-Identifier: GPL-2.0
/*
 * register_jprobe(), unregister_jprobe() and jprobe_return() on top of
 * kprobes.
 *
 * A jprobe traps three times.  The first hit sends the CPU to the handler.
 * The handler's jprobe_return() moves SP back and runs into a kprobe of our
 * own, which restores registers and stack and returns to the probed function.
 * There the first probe hits again, and lets it pass this time.
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

#include "jprobe_port.h"

#ifndef CONFIG_VMAP_STACK
#error "the top of an interrupt stack is only known for aligned (VMAP) stacks"
#endif

/*
 * The save buffer is followed by a guard zone as large as any stack, so that
 * a policy that writes too much is counted and the guest lives on.
 */
#define GUARD_SIZE	THREAD_SIZE
#define SAVE_SIZE	(THREAD_SIZE + GUARD_SIZE)

enum jprobe_phase {
	JPROBE_IDLE,
	JPROBE_HANDLER,		/* between the hit and jprobe_return() */
	JPROBE_PASSING,		/* on the way to the second hit */
};

struct jprobe_ctl {
	enum jprobe_phase phase;
	struct jprobe *jp;
	struct pt_regs regs;
	long saved;
	u8 *save;
};

static DEFINE_PER_CPU(struct jprobe_ctl, jprobe_ctl);

static void stack_hit_init(struct stack_hit *hit, const struct pt_regs *regs)
{
	unsigned long base = (unsigned long)task_stack_page(current);

	hit->sp = regs->sp;
	hit->fp = regs->regs[29];
	hit->irq = hit->sp < base || hit->sp > base + THREAD_SIZE;
	hit->top = hit->irq ? ALIGN(hit->sp, THREAD_SIZE) : base + THREAD_SIZE;
}

/* The bytes above the window that an overflowing save would write. */
static size_t guard_extent(const struct stack_hit *hit, size_t buffer)
{
	size_t room = hit->top - hit->sp;

	return room > buffer ? min_t(size_t, room - buffer, GUARD_SIZE) : 0;
}

static u64 load_word(const u8 *from)
{
	u64 word;

	memcpy(&word, from, sizeof(word));
	return word;
}

static void store_word(u8 *to, u64 word)
{
	memcpy(to, &word, sizeof(word));
}

/*
 * Fill the guard with the complement of what an overflow would put there, so
 * that not one overflowing byte can go unseen.
 */
static void guard_prime(u8 *save, const struct stack_hit *hit, size_t buffer)
{
	const u8 *stack = (const u8 *)hit->sp + buffer;
	size_t extent = guard_extent(hit, buffer);
	u8 *guard = save + buffer;
	size_t i;

	for (i = 0; i + sizeof(u64) <= extent; i += sizeof(u64))
		store_word(guard + i, ~load_word(stack + i));
	for (; i < extent; i++)
		guard[i] = ~stack[i];
}

static size_t guard_overflow(const u8 *save, const struct stack_hit *hit,
			     size_t buffer)
{
	const u8 *stack = (const u8 *)hit->sp + buffer;
	size_t extent = guard_extent(hit, buffer);
	const u8 *guard = save + buffer;
	size_t i, overflow = 0;

	for (i = 0; i + sizeof(u64) <= extent; i += sizeof(u64))
		if (load_word(guard + i) != ~load_word(stack + i))
			break;
	for (; i < extent; i++)
		overflow += guard[i] == stack[i];
	return overflow;
}

/* Returns false where the policy skips the hook. */
static bool save_stack(struct jprobe_ctl *ctl, struct jprobe *jp,
		       const struct pt_regs *regs)
{
	size_t buffer = stack_policy_buffer(&jp->policy);
	struct jprobe_stat *stat = &jp->stat;

	stack_hit_init(&stat->stack, regs);
	stat->overflow = 0;
	stat->saved = stack_policy_window(&jp->policy, &stat->stack);
	if (stat->saved < 0)
		return false;

	guard_prime(ctl->save, &stat->stack, buffer);
	memcpy(ctl->save, (void *)stat->stack.sp, stat->saved);
	stat->overflow = guard_overflow(ctl->save, &stat->stack, buffer);
	ctl->saved = stat->saved;
	return true;
}

static int jprobe_hit(struct kprobe *kp, struct pt_regs *regs)
{
	struct jprobe *jp = container_of(kp, struct jprobe, kp);
	struct jprobe_ctl *ctl = this_cpu_ptr(&jprobe_ctl);

	/* An interrupt on the way to the second hit has another SP. */
	if (ctl->phase == JPROBE_PASSING && ctl->jp == jp &&
	    ctl->regs.sp == regs->sp) {
		ctl->phase = JPROBE_IDLE;
		unpause_graph_tracing();
		preempt_enable();
		return 0;
	}

	if (READ_ONCE(jp->closing))
		return 0;
	jp->stat.hits++;
	if (ctl->phase != JPROBE_IDLE) {
		kp->nmissed++;
		return 0;
	}
	if (!save_stack(ctl, jp, regs)) {
		jp->stat.skipped++;
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

static int jprobe_return_hit(struct kprobe *kp, struct pt_regs *regs)
{
	struct jprobe_ctl *ctl = this_cpu_ptr(&jprobe_ctl);

	memcpy((void *)ctl->regs.sp, ctl->save, ctl->saved);
	*regs = ctl->regs;
	ctl->phase = JPROBE_PASSING;
	return 1;
}

NOKPROBE_SYMBOL(jprobe_return_hit);

/**
 * jprobe_return - end a jprobe handler
 *
 * Does not return: the probed function runs next, with the registers of the
 * hit and with the part of the stack that the probe's policy saved.
 */
noinline void jprobe_return(void)
{
	struct jprobe_ctl *ctl = this_cpu_ptr(&jprobe_ctl);

	if (WARN_ON_ONCE(ctl->phase != JPROBE_HANDLER))
		return;

	/* An exception return does not load SP at EL1, so move it here. */
	asm volatile("mov	sp, %0\n"
		     "	.globl	jprobe_return_trap\n"
		     "jprobe_return_trap:\n"
		     "	nop\n"
		     : : "r" (ctl->regs.sp) : "memory");
	unreachable();
}
EXPORT_SYMBOL_GPL(jprobe_return);

static struct kprobe return_probe = {
	.addr = (kprobe_opcode_t *)jprobe_return_trap,
	.pre_handler = jprobe_return_hit,
};

/**
 * register_jprobe - divert a function's entry to a handler
 * @jp: kp.symbol_name or kp.addr, entry and policy set by the caller
 *
 * Return: 0, -EINVAL for a save buffer larger than a stack, or the error of
 * register_kprobe().
 */
int register_jprobe(struct jprobe *jp)
{
	if (stack_policy_buffer(&jp->policy) > THREAD_SIZE)
		return -EINVAL;
	jp->kp.pre_handler = jprobe_hit;
	jp->closing = false;
	memset(&jp->stat, 0, sizeof(jp->stat));
	return register_kprobe(&jp->kp);
}
EXPORT_SYMBOL_GPL(register_jprobe);

/**
 * unregister_jprobe - undo register_jprobe()
 * @jp: a registered jprobe
 *
 * Sleeps until no CPU runs the handler.
 */
void unregister_jprobe(struct jprobe *jp)
{
	/*
	 * A handler that runs now needs the probe once more, to leave it.  It
	 * runs with preemption off, so a grace period waits for it.
	 */
	WRITE_ONCE(jp->closing, true);
	synchronize_rcu();
	unregister_kprobe(&jp->kp);
}
EXPORT_SYMBOL_GPL(unregister_jprobe);

static void free_saves(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kfree(per_cpu(jprobe_ctl, cpu).save);
}

static int __init jprobe_port_init(void)
{
	int cpu, err;

	for_each_possible_cpu(cpu) {
		u8 *save = kmalloc(SAVE_SIZE, GFP_KERNEL);

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
