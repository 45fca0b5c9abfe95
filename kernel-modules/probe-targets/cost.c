// SPDX-License-Identifier: GPL-2.0
/*
 * Measures a hit in ticks of the system counter.  Where the machine derives the
 * counter from instructions, as QEMU does with -icount, the ticks count these.
 */
#include <linux/irqflags.h>

#include <asm/barrier.h>

#include "probe_targets.h"
#include "record.h"

/* Turns of a loop, of two instructions each. */
#define COST_TURNS	100000UL

static unsigned long cost_handled, cost_ran;

static __probed void cost_target(long a0, long a1, long a2, long a3, long a4,
				 long a5, long a6, long a7, long a8)
{
	cost_ran++;
}

static __probed void cost_handler(long a0, long a1, long a2, long a3, long a4,
				  long a5, long a6, long a7, long a8)
{
	cost_handled++;
	jprobe_return();
}

static struct policy_jprobe cost_jprobe = {
	.addr = cost_target,
	.entry = cost_handler,
	.signature = probe_nine_words,
};

static unsigned long ticks(void)
{
	unsigned long now;

	isb();
	asm volatile("mrs	%0, cntvct_el0" : "=r" (now));
	isb();
	return now;
}

/* Returns the number of ticks in a second. */
static unsigned long frequency(void)
{
	unsigned long hertz;

	asm("mrs	%0, cntfrq_el0" : "=r" (hertz));
	return hertz;
}

/* Returns the ticks in which a known number of instructions runs. */
static unsigned long time_turns(void)
{
	unsigned long turns = COST_TURNS, flags, start;

	local_irq_save(flags);
	start = ticks();
	asm volatile("0:	subs	%0, %0, #1\n"
		     "	b.ne	0b\n"
		     : "+r" (turns) : : "cc");
	start = ticks() - start;
	local_irq_restore(flags);
	return start;
}

static unsigned long time_calls(unsigned int calls)
{
	unsigned long flags, start;

	local_irq_save(flags);
	start = ticks();
	while (calls--)
		cost_target(0, 1, 2, 3, 4, 5, 6, 7, 8);
	start = ticks() - start;
	local_irq_restore(flags);
	return start;
}

/**
 * probe_cost - call a function with and without a jprobe, and record the ticks
 * @policy: the jprobe's policy
 * @calls: how often to call it
 *
 * Return: 0, or the error of register_policy_jprobe().
 */
int probe_cost(const struct stack_policy *policy, unsigned int calls)
{
	unsigned long bare = time_calls(calls), probed;
	struct jprobe_stat stat;
	int err;

	cost_jprobe.policy = *policy;
	cost_jprobe.policy.unguarded = true;
	err = register_policy_jprobe(&cost_jprobe);
	if (err)
		return err;
	cost_handled = 0;
	cost_ran = 0;
	probed = time_calls(calls);
	policy_jprobe_stat(&cost_jprobe, &stat);
	probe_put_stack(&stat.stack, PROBE_PROCESS);
	probe_put(RECORD_COST, atomic_long_read(&stat.hits), cost_handled,
		  cost_ran, bare, probed, frequency(), 2 * COST_TURNS,
		  time_turns());
	unregister_policy_jprobe(&cost_jprobe);
	return 0;
}
