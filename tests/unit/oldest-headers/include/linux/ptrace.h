/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_PTRACE_H
#define OLDEST_LINUX_PTRACE_H

#include <linux/types.h>

struct pt_regs {
	u64 regs[31];
	u64 sp;
	u64 pc;
	u64 pstate;
};

#endif
