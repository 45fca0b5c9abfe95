/* SPDX-License-Identifier: GPL-2.0 */
/*
 * jprobes for arm64 kernels that have kprobes only (v5.6 and later).
 */
#ifndef JPROBE_PORT_H
#define JPROBE_PORT_H

#include <linux/compiler.h>

#include "policy_jprobe.h"

/**
 * struct policy_jprobe - probe that calls a handler with the function's arguments
 * @addr: where to probe, the first instruction of a function
 * @symbol: in place of @addr, the name of a function of the kernel's own
 * @entry: handler with the probed function's signature, ends in
 *	jprobe_return()
 * @policy: which part of the stack survives the handler
 * @signature: where the function's arguments lie in memory; of its named ones,
 *	for a variadic function; NULL where no policy asks for it
 * @wanted: whether a hit is this probe's to handle; NULL where all are
 * @seen: called, unless NULL, as the function runs after a hit that was wanted,
 *	with the registers that it runs with
 * @watch: whether a hit is only seen, and the handler does not run
 * @stat: what its hits did; read it with policy_jprobe_stat()
 * @kp: the kprobe that the engine uses
 * @closing: true once unregister_policy_jprobe() ignores further hits
 */
struct policy_jprobe {
	void *addr;
	const char *symbol;
	void *entry;
	struct stack_policy policy;
	const struct stack_part *signature;
	bool (*wanted)(struct policy_jprobe *jp, const struct pt_regs *regs);
	void (*seen)(struct policy_jprobe *jp, const struct pt_regs *regs);
	struct jprobe_stat stat;
	struct kprobe kp;
	bool watch;
	bool closing;
};

void jprobe_return(void);

/* In return.S.  The engine probes the nop; nothing else may use it. */
void __noreturn jprobe_return_to(unsigned long sp, unsigned long fp);
extern char jprobe_return_trap[];

#endif /* JPROBE_PORT_H */
