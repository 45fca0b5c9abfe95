/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_KPROBES_H
#define OLDEST_LINUX_KPROBES_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/ptrace.h>

#define __kprobes	__attribute__((__section__(".kprobes.text")))
#define NOKPROBE_SYMBOL(name)

typedef u32 kprobe_opcode_t;

struct kprobe {
	unsigned long nmissed;
	kprobe_opcode_t *addr;
	int (*pre_handler)(struct kprobe *p, struct pt_regs *regs);
};

struct jprobe {
	struct kprobe kp;
	void *entry;
};

int register_kprobe(struct kprobe *p);
void unregister_kprobe(struct kprobe *p);
int register_jprobe(struct jprobe *p);
void unregister_jprobe(struct jprobe *p);
void jprobe_return(void);

#endif
