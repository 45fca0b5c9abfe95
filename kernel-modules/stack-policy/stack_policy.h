/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which bytes of a stack a jprobe saves at the hit and puts back at
 * jprobe_return(): every policy that the review of the arm64 kprobes series
 * named in July 2016, and one that knows the function's signature, chosen per
 * probe.
 *
 * harness/model/policy.py predicts what this header does, from its own
 * reading of the review.  Do not derive one from the other.
 */
#ifndef STACK_POLICY_H
#define STACK_POLICY_H

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/ptrace.h>
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
	STACK_POLICY_SIGNATURE,
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

enum stack_part_base {
	STACK_PART_AT_SP,	/* at SP + number */
	STACK_PART_BY_REGISTER,	/* where x[number] points */
	STACK_PART_BY_SLOT,	/* where the word at SP + number points */
};

/**
 * struct stack_part - bytes in memory that belong to a function's arguments
 * @base: how they are found at the function's entry
 * @number: the offset from SP in bytes, or the register
 * @size: how many there are, 0 behind the last part of a signature
 *
 * A signature is an array of parts.  It has each slot before the part that the
 * slot points at, so that a restore can follow what it has just put back.
 */
struct stack_part {
	enum stack_part_base base;
	unsigned int number;
	unsigned int size;
};

/* The most bytes of arguments that a signature may have. */
#define STACK_SIGNATURE_MAX	8192
/* x0 to x7 */
#define STACK_ARGUMENT_REGISTERS	8

static inline bool stack_part_valid(const struct stack_part *part)
{
	switch (part->base) {
	case STACK_PART_AT_SP:
		return true;
	case STACK_PART_BY_REGISTER:
		return part->number < STACK_ARGUMENT_REGISTERS;
	case STACK_PART_BY_SLOT:
		return IS_ALIGNED(part->number, sizeof(u64));
	}
	return false;
}

/* The bytes of all parts, or -1 for what is no signature or has too many. */
static inline long stack_signature_size(const struct stack_part *part)
{
	size_t size = 0;

	if (!part)
		return -1;
	for (; part->size; part++) {
		if (!stack_part_valid(part) ||
		    part->size > STACK_SIGNATURE_MAX - size)
			return -1;
		size += part->size;
	}
	return size;
}

/*
 * Where a part lies, from the registers at the function's entry.  An address
 * that a function is passed an argument at is valid: the function uses it too.
 */
static inline void *stack_part_at(const struct stack_part *part,
				  const struct pt_regs *regs)
{
	switch (part->base) {
	case STACK_PART_BY_REGISTER:
		return (void *)regs->regs[part->number];
	case STACK_PART_BY_SLOT:
		return *(void **)(regs->sp + part->number);
	default:
		return (void *)(regs->sp + part->number);
	}
}

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
	case STACK_POLICY_SIGNATURE:
		return STACK_SIGNATURE_MAX;
	default:
		return 0;
	}
}

/* Whether a probe of a function with this signature can follow the policy. */
static inline bool stack_policy_fits(const struct stack_policy *policy,
				     const struct stack_part *signature)
{
	return policy->kind != STACK_POLICY_KERNEL &&
	       stack_policy_buffer(policy) <= THREAD_SIZE &&
	       (policy->kind != STACK_POLICY_SIGNATURE ||
		stack_signature_size(signature) >= 0);
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

	if (size >= 2 * sizeof(u64))
		asm volatile("0:	ldp	%0, %1, [%3], #16\n"
			     "	stp	%0, %1, [%2], #16\n"
			     "	sub	%4, %4, #16\n"
			     "	cmp	%4, #16\n"
			     "	b.hs	0b"
			     : "=&r" (word), "=&r" (next), "+&r" (to),
			       "+&r" (from), "+&r" (size)
			     : : "cc", "memory");
	if (size >= sizeof(u64)) {
		asm volatile("ldr	%0, [%2], #8\n"
			     "	str	%0, [%1], #8"
			     : "=&r" (word), "+&r" (to), "+&r" (from)
			     : : "memory");
		size -= sizeof(u64);
	}
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

/**
 * struct stack_guard - the guard zone at a hit
 * @at: where it begins, right behind the save buffer
 * @source: where an overflowing save would go on to copy from
 * @extent: how many bytes an overflow may have
 */
struct stack_guard {
	u8 *at;
	const u8 *source;
	size_t extent;
};

/* @end is where the parts end in memory; @size, how many bytes they have. */
static inline void stack_guard_init(struct stack_guard *guard, u8 *save,
				    const struct stack_policy *policy,
				    const struct stack_hit *hit,
				    unsigned long end, size_t size)
{
	size_t buffer = stack_policy_buffer(policy);
	unsigned long source = hit->sp + buffer;

	/* A signature's buffer has no byte more than its parts. */
	if (policy->kind == STACK_POLICY_SIGNATURE) {
		buffer = size;
		source = end;
	}
	guard->at = save + buffer;
	guard->source = (const u8 *)source;
	guard->extent = 0;
	/* What a part points at may lie on another stack, or on none. */
	if (source >= hit->sp && source < hit->top)
		guard->extent = min_t(size_t, hit->top - source,
				      STACK_GUARD_SIZE);
}

static inline void stack_guard_prime(const struct stack_guard *guard)
{
	size_t i;

	for (i = 0; i + sizeof(u64) <= guard->extent; i += sizeof(u64))
		*(u64 *)(guard->at + i) = ~*(const u64 *)(guard->source + i);
	for (; i < guard->extent; i++)
		guard->at[i] = ~guard->source[i];
}

/* Bytes that a save wrote into the guard. */
static inline size_t stack_guard_overflow(const struct stack_guard *guard)
{
	size_t i, overflow = 0;

	for (i = 0; i + sizeof(u64) <= guard->extent; i += sizeof(u64))
		if (*(const u64 *)(guard->at + i) !=
		    ~*(const u64 *)(guard->source + i))
			break;
	for (; i < guard->extent; i++)
		overflow += guard->at[i] == guard->source[i];
	return overflow;
}

/*
 * Saves what the policy says; @save is the buffer, and the guard behind it.
 * Returns the bytes saved, or -1 where the policy skips the handler, and in
 * @overflow how many of these were written past the buffer.
 */
static inline long stack_policy_save(u8 *save,
				     const struct stack_policy *policy,
				     const struct stack_part *signature,
				     const struct pt_regs *regs,
				     const struct stack_hit *hit,
				     unsigned long *overflow)
{
	const struct stack_part *part = signature;
	long size = stack_policy_window(policy, hit);
	unsigned long end = hit->sp;
	struct stack_guard guard;

	*overflow = 0;
	if (size < 0)
		return size;
	if (policy->kind == STACK_POLICY_SIGNATURE) {
		for (size = 0; part->size; size += part->size, part++)
			end = (unsigned long)stack_part_at(part, regs) +
			      part->size;
	}
	if (!policy->unguarded) {
		stack_guard_init(&guard, save, policy, hit, end, size);
		stack_guard_prime(&guard);
	}
	if (policy->kind == STACK_POLICY_SIGNATURE) {
		for (part = signature; part->size; save += part->size, part++)
			stack_copy(save, stack_part_at(part, regs), part->size);
	} else {
		stack_copy(save, (void *)hit->sp, size);
	}
	if (!policy->unguarded)
		*overflow = stack_guard_overflow(&guard);
	return size;
}

/* Puts back what stack_policy_save() saved at the hit with these registers. */
static inline void stack_policy_restore(const u8 *save, long size,
					const struct stack_policy *policy,
					const struct stack_part *signature,
					const struct pt_regs *regs)
{
	const struct stack_part *part = signature;

	if (policy->kind == STACK_POLICY_SIGNATURE) {
		for (; part->size; save += part->size, part++)
			stack_copy(stack_part_at(part, regs), save, part->size);
	} else {
		stack_copy((void *)regs->sp, save, size);
	}
}

#endif /* STACK_POLICY_H */
