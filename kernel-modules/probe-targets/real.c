// SPDX-License-Identifier: GPL-2.0
/*
 * Plays a case on a function of the kernel's own.
 *
 * A program in user space makes the system call that leads to it, and says
 * what came of that: see kernel-modules/drive/drive.c.  Its first write to
 * jprobe-harness/driven, in debugfs, is a dot, and means that what the task
 * does next counts; the second one is what it found.
 */
#include <linux/debugfs.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/hardirq.h>
#include <linux/kmod.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "debugfs.h"
#include "inspected.h"
#include "probe_targets.h"
#include "record.h"

#define PROGRAM		"/bin/drive"
#define FOUND_SIZE	64
#define REGISTERS	8

/* What was seen of the call, and who makes it. */
static struct {
	struct task_struct *task;
	unsigned int calls;
	/* When the hit was, by the clock that tracers have, and where. */
	u64 time;
	unsigned int cpu;
	pid_t pid;
	u64 passed[REGISTERS], arrived[REGISTERS];
	bool hit, ran;
	char found[FOUND_SIZE];
	size_t size;
} driven;

/* A debugger stops here, at the hit that counts. */
noinline void probe_real_hit(const struct pt_regs *regs)
{
	memcpy(driven.passed, regs->regs, sizeof(driven.passed));
	driven.hit = true;
}

/* Softirqs that the task has raised may be left to ksoftirqd. */
static bool is_driven(void)
{
	const struct task_struct *task = READ_ONCE(driven.task);

	return task && (task == current ||
			(probe_playing->context == PROBE_SOFTIRQ &&
			 in_serving_softirq()));
}

bool probe_real_wanted(struct policy_jprobe *jp, const struct pt_regs *regs)
{
	/* Probes of cases that were played before are still there. */
	if (jp != &probe_playing->jp || !is_driven() || driven.hit ||
	    ++driven.calls < probe_playing->real->call)
		return false;
	driven.time = ktime_get_mono_fast_ns();
	driven.cpu = raw_smp_processor_id();
	driven.pid = task_pid_nr(current);
	probe_real_hit(regs);
	return true;
}

void probe_real_seen(struct policy_jprobe *jp, const struct pt_regs *regs)
{
	const u8 *argument = probe_playing->real->references;
	const struct stack_part *part;

	memcpy(driven.arrived, regs->regs, sizeof(driven.arrived));
	driven.ran = true;
	probe_target_enter();
	for (part = jp->signature; part->size; part++)
		if (part->base != STACK_PART_AT_SP)
			probe_look(LOOK_SEEN, *argument++,
				   stack_part_at(part, regs), part->size);
}

static ssize_t driven_write(struct file *file, const char __user *buf,
			    size_t size, loff_t *pos)
{
	if (size > FOUND_SIZE)
		return -EINVAL;
	if (copy_from_user(driven.found, buf, size))
		return -EFAULT;
	driven.size = size;
	WRITE_ONCE(driven.task, size == 1 && driven.found[0] == '.' ? current :
								      NULL);
	return size;
}

static const struct file_operations driven_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = driven_write,
};

/**
 * probe_real_drive - have user space lead to a function of the kernel's
 * @real: the function
 *
 * Return: 0, or an error where no program could be run.
 */
int probe_real_drive(const struct probe_real *real)
{
	char *argv[] = { PROGRAM, (char *)real->action, NULL };
	char *envp[] = { NULL };
	int status;

	memset(&driven, 0, sizeof(driven));
	status = call_usermodehelper(PROGRAM, argv, envp, UMH_WAIT_PROC);
	/* One that was killed has not said that it is done. */
	WRITE_ONCE(driven.task, NULL);
	if (status < 0)
		return status;
	probe_put(RECORD_DRIVEN, status);
	probe_put_bytes(driven.hit ? driven.passed : NULL,
			sizeof(driven.passed));
	probe_put_bytes(driven.ran ? driven.arrived : NULL,
			sizeof(driven.arrived));
	probe_put_bytes(driven.found, driven.size);
	return 0;
}

/**
 * probe_real_watch - have a case's hits seen, without its handler
 * @pc: a case on a function of the kernel's
 * @watch: whether to begin or to end that
 */
void probe_real_watch(struct probe_case *pc, bool watch)
{
	pc->jp.watch = watch;
}

/**
 * probe_real_put_moment - add to the record when and where the hit was
 */
void probe_real_put_moment(void)
{
	probe_put(RECORD_MOMENT, driven.time, driven.cpu, driven.pid);
}

/**
 * probe_real_init - make the file that the program writes to
 * @folder: where
 *
 * Return: 0, or an error.
 */
int probe_real_init(struct dentry *folder)
{
	return compat_debugfs_error(debugfs_create_file("driven", 0200, folder,
							NULL, &driven_fops));
}
