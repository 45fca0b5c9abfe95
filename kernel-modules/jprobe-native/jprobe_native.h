/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's own jprobes (v4.8 to v4.14, and backports).
 */
#ifndef JPROBE_NATIVE_H
#define JPROBE_NATIVE_H

#include "policy_jprobe.h"

/**
 * struct policy_jprobe - a jprobe of the kernel's, and what looks on
 * @addr: where to probe, the first instruction of a function
 * @entry: handler with the probed function's signature, ends in
 *	jprobe_return()
 * @policy: which part of the stack survives the handler
 * @stat: for the caller to read
 * @jprobe: the kernel's
 * @observer: on the same function; counts, and sees the stack
 */
struct policy_jprobe {
	void *addr;
	void *entry;
	struct stack_policy policy;
	struct jprobe_stat stat;
	struct jprobe jprobe;
	struct kprobe observer;
};

#endif /* JPROBE_NATIVE_H */
