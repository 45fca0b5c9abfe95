/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which bytes of a stack a jprobe saves at the hit and puts back at
 * jprobe_return(): every policy that the review of the arm64 kprobes series
 * named in July 2016, chosen per probe.
 *
 * harness/model/policy.py predicts what this header does, from its own
 * reading of the review.  Do not derive one from the other.
 */
#ifndef STACK_POLICY_H
#define STACK_POLICY_H

#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/memory.h>

enum stack_policy_kind {
	STACK_POLICY_NONE,
	STACK_POLICY_FIXED,
	STACK_POLICY_V15,
	STACK_POLICY_FP_DELTA,
	STACK_POLICY_THREAD_SIZE,
	STACK_POLICY_KINDS
};

/**
 * struct stack_policy - what one probe saves
 * @kind: the rule that computes the window
 * @size: bytes of save buffer, for the rules that do not fix it themselves
 */
struct stack_policy {
	enum stack_policy_kind kind;
	unsigned int size;
};

/**
 * struct stack_hit - the stack at the hit of a probe
 * @sp: stack pointer, at the first stacked argument
 * @fp: frame pointer (x29), still the caller's
 * @top: first address above the stack that @sp lies on
 * @irq: true on a per-CPU interrupt stack
 */
struct stack_hit {
	unsigned long sp;
	unsigned long fp;
	unsigned long top;
	bool irq;
};

static const char * const stack_policy_names[STACK_POLICY_KINDS] = {
	[STACK_POLICY_NONE] = "none",
	[STACK_POLICY_FIXED] = "fixed",
	[STACK_POLICY_V15] = "v15",
	[STACK_POLICY_FP_DELTA] = "fp-delta",
	[STACK_POLICY_THREAD_SIZE] = "thread-size",
};

/* The save buffer that the policy declares; what it writes may be more. */
static inline size_t stack_policy_buffer(const struct stack_policy *policy)
{
	switch (policy->kind) {
	case STACK_POLICY_FIXED:
	case STACK_POLICY_V15:
	case STACK_POLICY_FP_DELTA:
		return policy->size;
	case STACK_POLICY_THREAD_SIZE:
		return THREAD_SIZE;
	default:
		return 0;
	}
}

/* A frame record is two words, on this stack, at or above SP. */
static inline bool stack_policy_fp_valid(const struct stack_hit *hit)
{
	return IS_ALIGNED(hit->fp, 8) && hit->fp >= hit->sp &&
	       hit->fp < hit->top && hit->top - hit->fp >= 16;
}

/*
 * Bytes to save from SP upwards, or -1 where the policy skips the hook.
 */
static inline long stack_policy_window(const struct stack_policy *policy,
				       const struct stack_hit *hit)
{
	unsigned long room = hit->top - hit->sp;
	unsigned long size = policy->size;

	switch (policy->kind) {
	case STACK_POLICY_FIXED:
		return min(size, room);
	case STACK_POLICY_V15:
		/* As posted: the interrupt stack is not held to the buffer. */
		return min_t(unsigned long, hit->irq ? IRQ_STACK_SIZE : size,
			     room);
	case STACK_POLICY_FP_DELTA:
		if (!stack_policy_fp_valid(hit) || hit->fp - hit->sp > size)
			return -1;
		return hit->fp - hit->sp;
	case STACK_POLICY_THREAD_SIZE:
		return room;
	default:
		return 0;
	}
}

#endif /* STACK_POLICY_H */
