/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stack policy of a kernel's own jprobes, which jprobe_stack.cocci makes
 * them follow.  Copied into the tree beside kprobes.c, as is stack_policy.h.
 */
#ifndef JPROBE_STACK_H
#define JPROBE_STACK_H

#include <linux/types.h>

#include "stack_policy.h"

/**
 * struct jprobe_stack - what the kernel's jprobes do with the stack
 * @fixed: @policy was compiled in and cannot be changed
 * @policy: the policy that all jprobes follow
 * @function: the function whose signature is known
 * @signature: where its arguments lie in memory
 * @saved: bytes saved at the last hit, -1 if it was skipped
 * @overflow: bytes written past the save buffer at that hit
 */
struct jprobe_stack {
	bool fixed;
	struct stack_policy policy;
	void *function;
	const struct stack_part *signature;
	long saved;
	unsigned long overflow;
};

/* The test modules look it up by name, since a kernel may not have it. */
extern struct jprobe_stack jprobe_stack;

struct pt_regs;

bool jprobe_stack_save(const struct pt_regs *regs);
void jprobe_stack_restore(const struct pt_regs *regs);

#endif /* JPROBE_STACK_H */
