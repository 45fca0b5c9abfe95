/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A jprobe whose stack policy can be chosen, from either engine: the port,
 * or the kernel's own jprobes.  Each defines struct policy_jprobe.
 */
#ifndef POLICY_JPROBE_H
#define POLICY_JPROBE_H

#include <linux/kprobes.h>

#include "stack_policy.h"

/**
 * struct jprobe_stat - what the hits of a probe did
 * @hits: entries of the probed function seen by the probe
 * @missed: of these, hits while another jprobe was at work on the CPU; also
 *	counted in the kprobe's nmissed
 * @skipped: of these, hits on which the policy skipped the handler
 * @stack: the stack at the last hit that was not missed, on any CPU
 * @known: true where the engine knows the following
 * @saved: bytes saved at that hit, -1 if it was skipped
 * @overflow: bytes written past the save buffer at that hit
 */
struct jprobe_stat {
	atomic_long_t hits;
	atomic_long_t missed;
	atomic_long_t skipped;
	struct stack_hit stack;
	bool known;
	long saved;
	unsigned long overflow;
};

struct policy_jprobe;

/**
 * register_policy_jprobe - divert a function's entry to a handler
 * @jp: addr, entry, policy and signature set by the caller; may have been
 *	registered before
 *
 * Return: 0, -EINVAL for a policy that the engine does not have, a save buffer
 * larger than a stack or a signature that does not fit, or the error of
 * register_kprobe().
 */
int register_policy_jprobe(struct policy_jprobe *jp);

/**
 * unregister_policy_jprobe - undo register_policy_jprobe()
 * @jp: registered
 *
 * Sleeps until no CPU runs the handler.
 */
void unregister_policy_jprobe(struct policy_jprobe *jp);

/**
 * policy_jprobe_reset - forget what was counted, and follow another policy
 * @jp: registered, and not being hit
 * @policy: the policy for further hits
 *
 * Return: 0, or -EINVAL as register_policy_jprobe().
 */
int policy_jprobe_reset(struct policy_jprobe *jp,
			const struct stack_policy *policy);

/**
 * policy_jprobe_stat - report what was counted
 * @jp: registered, and not being hit
 * @stat: gets the counts
 */
void policy_jprobe_stat(const struct policy_jprobe *jp,
			struct jprobe_stat *stat);

#ifdef JPROBE_NATIVE
#include "jprobe_native.h"
#else
#include "jprobe_port.h"
#endif

#endif /* POLICY_JPROBE_H */
