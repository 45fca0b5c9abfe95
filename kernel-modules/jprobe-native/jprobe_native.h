/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's own jprobes (v4.8 to v4.14, and backports).
 */
#ifndef JPROBE_NATIVE_H
#define JPROBE_NATIVE_H

#include "policy_jprobe.h"

/**
 * struct policy_jprobe - a jprobe of the kernel's, and a kprobe that observes it
 * @addr: where to probe, the first instruction of a function
 * @entry: handler with the probed function's signature, ends in
 *	jprobe_return()
 * @policy: which part of the stack survives the handler
 * @signature: where the function's arguments lie in memory; of its named ones,
 *	for a variadic function; NULL where no policy asks for it
 * @stat: what its hits did; read it with policy_jprobe_stat()
 * @jprobe: the kernel's own jprobe
 * @observer: a kprobe on the same function; counts hits, records the stack
 */
struct policy_jprobe {
	void *addr;
	void *entry;
	struct stack_policy policy;
	const struct stack_part *signature;
	struct jprobe_stat stat;
	struct jprobe jprobe;
	struct kprobe observer;
};

#endif /* JPROBE_NATIVE_H */
