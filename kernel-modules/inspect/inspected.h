/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the host finds by name.
 *
 * harness/inspect and harness/vm/jp.py look up these symbols, and the members of
 * these types, in the modules' symbol tables and debug information.  They are
 * global, so that no compiler renames one or leaves it out.  The functions of a
 * case, which are also found by name, are named by harness/modules/casefunctions.py.
 */
#ifndef INSPECTED_H
#define INSPECTED_H

#include <linux/percpu.h>
#include <linux/ptrace.h>
#include <linux/types.h>

struct policy_jprobe;
struct probe_case;

enum jprobe_phase {
	JPROBE_IDLE,
	JPROBE_HANDLER,		/* between the hit and jprobe_return() */
	JPROBE_PASSING,		/* on the way to the second hit */
};

/**
 * struct jprobe_ctl - what jprobe-port does on a CPU
 * @phase: where on its way a hit is
 * @jp: the probe that was hit
 * @regs: the registers at the hit
 * @saved: bytes of the stack that @save has
 * @save: the stack from SP at the hit upwards, and the guard behind it
 */
struct jprobe_ctl {
	enum jprobe_phase phase;
	struct policy_jprobe *jp;
	struct pt_regs regs;
	long saved;
	u8 *save;
};

DECLARE_PER_CPU(struct jprobe_ctl, jprobe_ctl);

/* The case that probe-targets plays, or has played last. */
extern struct probe_case *probe_playing;

/* Called by a hit of a function of the kernel's own that counts. */
void probe_real_hit(const struct pt_regs *regs);

/* Called when the last line of a record has been put. */
void probe_put_end(void);

#endif /* INSPECTED_H */
