/* SPDX-License-Identifier: GPL-2.0 */
/*
 * jprobes for arm64 kernels that have kprobes only (v5.6 and later).
 */
#ifndef JPROBE_PORT_H
#define JPROBE_PORT_H

#include <linux/kprobes.h>

#include "stack_policy.h"

/**
 * struct jprobe_stat - what the hits of a probe did
 * @hits: entries of the probed function seen by the probe
 * @missed: of these, hits while another jprobe was at work on the CPU; also
 *	counted in kp.nmissed, as the kernel's own jprobes did
 * @skipped: of these, hits on which the policy skipped the handler
 * @stack: the stack at the last hit that was not missed, on any CPU
 * @saved: bytes saved at that hit, -1 if it was skipped
 * @overflow: bytes written past the save buffer at that hit
 */
struct jprobe_stat {
	atomic_long_t hits;
	atomic_long_t missed;
	atomic_long_t skipped;
	struct stack_hit stack;
	long saved;
	unsigned long overflow;
};

/**
 * struct jprobe - probe that calls a handler with the function's arguments
 * @kp: where to probe; the caller sets symbol_name or addr, the first
 *	instruction of a function
 * @entry: handler with the probed function's signature, ends in
 *	jprobe_return()
 * @policy: which part of the stack survives the handler
 * @stat: for the caller to read
 * @closing: true once unregister_jprobe() lets no further hit in
 */
struct jprobe {
	struct kprobe kp;
	void *entry;
	struct stack_policy policy;
	struct jprobe_stat stat;
	bool closing;
};

int register_jprobe(struct jprobe *jp);
void unregister_jprobe(struct jprobe *jp);
void jprobe_return(void);

/* The nop in jprobe_return() that the engine probes; not for others. */
extern char jprobe_return_trap[];

#endif /* JPROBE_PORT_H */
