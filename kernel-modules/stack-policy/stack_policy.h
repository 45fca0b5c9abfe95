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

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/thread_info.h>
#include <linux/types.h>
#include <asm/irq.h>
#include <asm/memory.h>

/* Up to v4.13 the kernel reserves 16 bytes at a stack's end. */
#ifdef THREAD_START_SP
#define STACK_TOP_OFFSET	THREAD_START_SP
#else
#define STACK_TOP_OFFSET	THREAD_SIZE
#endif

/* Up to v4.4 interrupts run on the stack of the task that they interrupt. */
#ifndef IRQ_STACK_SIZE
#define IRQ_STACK_SIZE		0
#endif

enum stack_policy_kind {
	STACK_POLICY_NONE,
	STACK_POLICY_FIXED,
	STACK_POLICY_V15,
	STACK_POLICY_FP_DELTA,
	STACK_POLICY_THREAD_SIZE,
	STACK_POLICY_KERNEL,		/* whatever the kernel's own jprobes do */
	STACK_POLICY_KINDS
};

/**
 * struct stack_policy - what one probe saves
 * @kind: the rule that computes the window
 * @size: bytes of save buffer, for the rules that do not fix it themselves
 * @unguarded: bytes that were written past that buffer are not counted
 */
struct stack_policy {
	enum stack_policy_kind kind;
	unsigned int size;
	bool unguarded;
};

/**
 * struct stack_hit - the stack at the hit of a probe
 * @sp: stack pointer, at the first stacked argument
 * @fp: frame pointer (x29), still the caller's
 * @top: where the kernel's own frames begin on the stack that @sp lies on
 * @irq: true on any stack but the current task's; of these, cases hit probes
 *	on the per-CPU interrupt stack only
 */
struct stack_hit {
	unsigned long sp;
	unsigned long fp;
	unsigned long top;
	bool irq;
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
 * Bytes to save from SP upwards, or -1 where the policy skips the handler.
 */
static inline long stack_policy_window(const struct stack_policy *policy,
				       const struct stack_hit *hit)
{
	unsigned long depth = hit->top - hit->sp;
	unsigned long size = policy->size;

	switch (policy->kind) {
	case STACK_POLICY_FIXED:
		return min(size, depth);
	case STACK_POLICY_V15:
		/* As posted: the interrupt stack has no such limit. */
		return min_t(unsigned long, hit->irq ? IRQ_STACK_SIZE : size,
			     depth);
	case STACK_POLICY_FP_DELTA:
		if (!stack_policy_fp_valid(hit) || hit->fp - hit->sp > size)
			return -1;
		return hit->fp - hit->sp;
	case STACK_POLICY_THREAD_SIZE:
		return depth;
	default:
		return 0;
	}
}

/*
 * Copies bytes of a stack, for code that is built without sanitizers (Kbuild).
 * KASAN's memcpy() takes the bounds between a frame's variables for those of an
 * object, and a compiler may make a memcpy() of a loop in C.
 */
static __always_inline void stack_copy(void *to, const void *from, size_t size)
{
	u64 word, next;

	for (; size >= 2 * sizeof(u64); size -= 2 * sizeof(u64))
		asm volatile("ldp	%0, %1, [%3], #16\n"
			     "	stp	%0, %1, [%2], #16"
			     : "=&r" (word), "=&r" (next), "+&r" (to), "+&r" (from)
			     : : "memory");
	for (; size; size--)
		asm volatile("ldrb	%w0, [%2], #1\n"
			     "	strb	%w0, [%1], #1"
			     : "=&r" (word), "+&r" (to), "+&r" (from)
			     : : "memory");
}

/*
 * The guard zone behind a save buffer is as large as any stack, so that a
 * policy that writes too much is counted and the guest lives on.  Before a save
 * it is filled with the complement of what an overflow would put there, so that
 * not one overflowing byte can go unseen.
 */
#define STACK_GUARD_SIZE	THREAD_SIZE
#define STACK_SAVE_SIZE		(THREAD_SIZE + STACK_GUARD_SIZE)

/* The bytes above the buffer that an overflowing save would write. */
static inline size_t stack_guard_extent(const struct stack_policy *policy,
					const struct stack_hit *hit)
{
	size_t buffer = stack_policy_buffer(policy);
	size_t depth = hit->top - hit->sp;

	if (policy->unguarded || depth <= buffer)
		return 0;
	return min_t(size_t, depth - buffer, STACK_GUARD_SIZE);
}

/* @save is the buffer, and the guard behind it. */
static inline void stack_guard_prime(u8 *save,
				     const struct stack_policy *policy,
				     const struct stack_hit *hit)
{
	size_t buffer = stack_policy_buffer(policy);
	const u8 *stack = (const u8 *)hit->sp + buffer;
	size_t extent = stack_guard_extent(policy, hit);
	u8 *guard = save + buffer;
	size_t i;

	for (i = 0; i + sizeof(u64) <= extent; i += sizeof(u64))
		*(u64 *)(guard + i) = ~*(const u64 *)(stack + i);
	for (; i < extent; i++)
		guard[i] = ~stack[i];
}

/* Bytes that a save wrote into the guard. */
static inline size_t stack_guard_overflow(const u8 *save,
					  const struct stack_policy *policy,
					  const struct stack_hit *hit)
{
	size_t buffer = stack_policy_buffer(policy);
	const u8 *stack = (const u8 *)hit->sp + buffer;
	size_t extent = stack_guard_extent(policy, hit);
	const u8 *guard = save + buffer;
	size_t i, overflow = 0;

	for (i = 0; i + sizeof(u64) <= extent; i += sizeof(u64))
		if (*(const u64 *)(guard + i) != ~*(const u64 *)(stack + i))
			break;
	for (; i < extent; i++)
		overflow += guard[i] == stack[i];
	return overflow;
}

#endif /* STACK_POLICY_H */
