// SPDX-License-Identifier: GPL-2.0
/*
 * One jprobe that all CPUs hit at once, from a task on each and from interrupts
 * that the tasks send to each other.
 */
#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/hardirq.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/percpu.h>
#include <linux/processor.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/string.h>

#include "probe_targets.h"
#include "record.h"

/*
 * A storm blows for so many times as long as was asked for at most: CPUs that
 * share those of a busy machine may not meet before.  harness/measure/storm.py
 * waits for it.
 */
#define STORM_PERIODS	5

/**
 * struct storm_caller - the counts of one caller, which alone writes to them
 * @calls: calls of the probed function
 * @handler: runs of the handler
 * @target: runs of the function
 * @corrupt: of these, with the stacked argument as the handler left it
 * @wrong: runs of handler or function with an argument that was not passed
 * @at_once: most handlers that ran at the same time as one of these, included
 */
struct storm_caller {
	long calls;
	long handler;
	long target;
	long corrupt;
	long wrong;
	int at_once;
};

struct storm_cpu {
	struct storm_caller task, irq;
	struct task_struct *kthread;
	call_single_data_t csd;
	/*
	 * The task's interrupt is on its way to the next CPU, or runs there.  No
	 * bool: up to v4.1, smp_store_release() knows words only.
	 */
	int interrupting;
};

static DEFINE_PER_CPU(struct storm_cpu, storm_cpus);
static atomic_t storm_handlers;

static bool passed(const struct storm_caller *caller, long a1, long a2, long a3,
		   long a4, long a5, long a6, long a7)
{
	long n = caller->calls;

	return a1 == n + 1 && a2 == n + 2 && a3 == n + 3 && a4 == n + 4 &&
	       a5 == n + 5 && a6 == n + 6 && a7 == n + 7;
}

void probe_storm_target(struct storm_caller *caller, long a1, long a2, long a3,
			long a4, long a5, long a6, long a7, long a8);

__probed void probe_storm_target(struct storm_caller *caller, long a1, long a2,
				 long a3, long a4, long a5, long a6, long a7,
				 long a8)
{
	bool corrupt = a8 == ~(caller->calls + 8);

	caller->target++;
	caller->corrupt += corrupt;
	if (!passed(caller, a1, a2, a3, a4, a5, a6, a7) ||
	    (a8 != caller->calls + 8 && !corrupt))
		caller->wrong++;
}

static __probed void storm_handler(struct storm_caller *caller, long a1,
				   long a2, long a3, long a4, long a5, long a6,
				   long a7, long a8)
{
	int running = atomic_inc_return(&storm_handlers);

	caller->handler++;
	caller->at_once = max(caller->at_once, running);
	if (!passed(caller, a1, a2, a3, a4, a5, a6, a7) ||
	    a8 != caller->calls + 8)
		caller->wrong++;
	probe_flip(&a8, sizeof(a8), 0xff);
	atomic_dec(&storm_handlers);
	jprobe_return();
}

static struct policy_jprobe storm_jprobe = {
	.addr = probe_storm_target,
	.entry = storm_handler,
	.signature = probe_nine_words,
};

static __probed void storm_call(void)
{
	/* A task that may migrate is the only caller. */
	struct storm_cpu *cpu = raw_cpu_ptr(&storm_cpus);
	struct storm_caller *caller = hardirq_count() ? &cpu->irq : &cpu->task;
	long n = ++caller->calls;

	probe_storm_target(caller, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6,
			   n + 7, n + 8);
}

static void storm_interrupt(void *sender)
{
	struct storm_cpu *cpu = sender;

	storm_call();
	/* The counts must be visible before the wait ends. */
	smp_store_release(&cpu->interrupting, 0);
}

/* Sends the interrupt, unless the last one has not ended. */
static int send_interrupt(struct storm_cpu *cpu, unsigned int to)
{
	int err;

	if (READ_ONCE(cpu->interrupting))
		return 0;
	WRITE_ONCE(cpu->interrupting, 1);
	err = smp_call_function_single_async(to, &cpu->csd);
	if (err)
		WRITE_ONCE(cpu->interrupting, 0);
	return err;
}

static int storm_task(void *data)
{
	struct storm_cpu *cpu = data;
	unsigned int next = probe_next_cpu(smp_processor_id());
	int err = 0;

	cpu->csd.func = storm_interrupt;
	cpu->csd.info = cpu;
	while (!kthread_should_stop()) {
		storm_call();
		if (!err)
			err = send_interrupt(cpu, next);
		cond_resched();
	}
	/* Loads after the wait must see the counts. */
	while (smp_load_acquire(&cpu->interrupting))
		cpu_relax();
	return err;
}

/* Returns the first error of a task. */
static int stop_tasks(void)
{
	unsigned int cpu;
	int err = 0;

	for_each_online_cpu(cpu) {
		struct storm_cpu *storm = per_cpu_ptr(&storm_cpus, cpu);
		int ret = 0;

		/* A task that was never woken ends with -EINTR. */
		if (storm->kthread)
			ret = kthread_stop(storm->kthread);
		storm->kthread = NULL;
		if (!err)
			err = ret;
	}
	return err;
}

static int create_tasks(void)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		struct storm_cpu *storm = per_cpu_ptr(&storm_cpus, cpu);
		struct task_struct *task;

		memset(storm, 0, sizeof(*storm));
		task = kthread_create(storm_task, storm, "storm/%u", cpu);
		if (IS_ERR(task))
			return PTR_ERR(task);
		kthread_bind(task, cpu);
		storm->kthread = task;
	}
	return 0;
}

/* Records the stack at a hit in a context, while there is no other caller. */
static void put_stack(enum probe_context context)
{
	probe_call_in(context, storm_call);
	probe_put_stack(&storm_jprobe.stat.stack, context);
}

static void put_caller(int cpu, enum probe_context context,
		       const struct storm_caller *caller)
{
	probe_put(RECORD_CALLER, cpu, context, caller->calls, caller->handler,
		  caller->target, caller->corrupt, caller->wrong,
		  caller->at_once);
}

static void put_storm(s64 milliseconds)
{
	struct jprobe_stat stat;
	unsigned int cpu;

	policy_jprobe_stat(&storm_jprobe, &stat);
	probe_put(RECORD_STORM, milliseconds, atomic_long_read(&stat.hits),
		  atomic_long_read(&stat.missed),
		  atomic_long_read(&stat.skipped));
	for_each_online_cpu(cpu) {
		put_caller(cpu, PROBE_PROCESS, &per_cpu(storm_cpus, cpu).task);
		put_caller(cpu, PROBE_HARDIRQ, &per_cpu(storm_cpus, cpu).irq);
	}
}

/* Returns false if handlers ran, but no two of them at the same time. */
static bool have_met(void)
{
	unsigned int cpu;
	int at_once = 0;

	for_each_online_cpu(cpu) {
		const struct storm_cpu *storm = per_cpu_ptr(&storm_cpus, cpu);

		at_once = max(at_once, READ_ONCE(storm->task.at_once));
		at_once = max(at_once, READ_ONCE(storm->irq.at_once));
	}
	return at_once != 1;
}

static int blow(unsigned int milliseconds)
{
	s64 start = ktime_to_ms(ktime_get());
	unsigned int periods = STORM_PERIODS;
	unsigned int cpu;
	int err;

	for_each_online_cpu(cpu)
		wake_up_process(per_cpu(storm_cpus, cpu).kthread);
	do
		schedule_timeout_interruptible(msecs_to_jiffies(milliseconds));
	while (--periods && !have_met());
	err = stop_tasks();
	if (!err)
		put_storm(ktime_to_ms(ktime_get()) - start);
	return err;
}

/**
 * probe_storm - have all CPUs hit one jprobe, and record the counts
 * @policy: the jprobe's policy
 * @milliseconds: how long the CPUs call the function at least
 *
 * Return: 0, or an error where the storm could not be set up or did not blow on
 * all CPUs.
 */
int probe_storm(const struct stack_policy *policy, unsigned int milliseconds)
{
	int err;

	storm_jprobe.policy = *policy;
	err = register_policy_jprobe(&storm_jprobe);
	if (err)
		return err;
	/* There is a task on each CPU, and a record of each. */
	cpus_read_lock();
	err = create_tasks();
	if (!err) {
		put_stack(PROBE_PROCESS);
		put_stack(PROBE_HARDIRQ);
		err = blow(milliseconds);
	} else {
		stop_tasks();
	}
	cpus_read_unlock();
	/* This also waits for interrupts that have yet to return. */
	unregister_policy_jprobe(&storm_jprobe);
	return err;
}
