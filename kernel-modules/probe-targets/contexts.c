// SPDX-License-Identifier: GPL-2.0
/*
 * Calls a case in its context.
 */
#include <linux/bottom_half.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/hardirq.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#ifdef CONFIG_KASAN
#include <linux/kasan.h>
#endif
#include <linux/kthread.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>

#include "probe_targets.h"

/* Bytes of stack used up before a call deep in the stack. */
#define DEEP_SIZE	10240

/* The call that is being made; cases are played one at a time. */
static void (*context_call)(void);

static noinline void call_deep(size_t size)
{
	u8 frame[512];

	barrier_data(frame);
	if (size > sizeof(frame))
		call_deep(size - sizeof(frame));
	else
		context_call();
	barrier_data(frame);
}

/* Returns where KASAN keeps the bounds of variables on a stack. */
static u8 *bounds(u8 *at)
{
#if defined(CONFIG_KASAN) && !defined(CONFIG_KASAN_HW_TAGS)
	return kasan_mem_to_shadow(at);
#else
	return NULL;
#endif
}

void probe_keep_frames(u8 *save, u8 *frames, size_t size)
{
	u8 *start = bounds(frames), *end = bounds(frames + size), *bound;

	stack_copy(save, frames, size);
	stack_copy(save + size, start, end - start);
	/* The frames that run in place of these have other bounds. */
	for (bound = start; bound < end; bound++)
		WRITE_ONCE(*bound, 0);
}

void probe_put_frames_back(u8 *save, u8 *frames, size_t size)
{
	u8 *start = bounds(frames), *end = bounds(frames + size);

	stack_copy(frames, save, size);
	stack_copy(start, save + size, end - start);
}

/* Calls a case at the top of its stack, as often as it is wanted. */
static struct task_struct *top_task;
static DECLARE_COMPLETION(top_wanted);
static DECLARE_COMPLETION(top_done);

static int call_in_kthread(void *save)
{
	for (;;) {
		/* A long wait that is uninterruptible is complained of. */
		wait_for_completion_interruptible(&top_wanted);
		if (!context_call)
			break;
		probe_call_at_top(context_call,
				  task_stack_page(current) + STACK_TOP_OFFSET,
				  save);
		complete(&top_done);
	}
	kfree(save);
	return 0;
}

static void call_at_top(void)
{
	complete(&top_wanted);
	wait_for_completion(&top_done);
}

static void call_in_softirq(struct tasklet_struct *tasklet)
{
	context_call();
}

static void call_by_tasklet(void)
{
	struct tasklet_struct tasklet;

	tasklet_setup(&tasklet, call_in_softirq);
	/* It runs when softirqs are enabled again, and not in ksoftirqd. */
	local_bh_disable();
	tasklet_schedule(&tasklet);
	local_bh_enable();
	tasklet_kill(&tasklet);
}

static void call_in_hardirq(struct irq_work *work)
{
	context_call();
}

static void call_by_irq_work(void)
{
	static struct irq_work work = IRQ_WORK_INIT_HARD(call_in_hardirq);

	irq_work_queue(&work);
	irq_work_sync(&work);
}

/**
 * probe_call_in - call a function in a context, and wait for it
 * @context: the context to call it in
 * @call: the function to call
 */
void probe_call_in(enum probe_context context, void (*call)(void))
{
	context_call = call;
	switch (context) {
	case PROBE_DEEP:
		call_deep(DEEP_SIZE);
		break;
	case PROBE_KTHREAD_TOP:
		call_at_top();
		break;
	case PROBE_SOFTIRQ:
		call_by_tasklet();
		break;
	case PROBE_HARDIRQ:
		call_by_irq_work();
		break;
	default:
		call();
	}
}

/**
 * probe_context - find out in which context the caller runs
 * @depth: bytes between its SP and the stack's top
 *
 * Return: the context that the caller is in, whichever was asked for.
 */
enum probe_context probe_context(unsigned long depth)
{
	if (hardirq_count())
		return PROBE_HARDIRQ;
	if (in_serving_softirq())
		return PROBE_SOFTIRQ;
	if (current->flags & PF_KTHREAD)
		return PROBE_KTHREAD_TOP;
	return depth > DEEP_SIZE ? PROBE_DEEP : PROBE_PROCESS;
}

/**
 * probe_contexts_init - make what contexts need
 *
 * Return: 0, or an error.
 */
int probe_contexts_init(void)
{
	void *save = kmalloc(PROBE_SAVE_SIZE, GFP_KERNEL);

	if (!save)
		return -ENOMEM;
	top_task = kthread_create(call_in_kthread, save, "probe-targets");
	if (IS_ERR(top_task)) {
		kfree(save);
		return PTR_ERR(top_task);
	}
	/* Plans are played there: another CPU takes longer to wake than a play. */
	kthread_bind(top_task, 0);
	get_task_struct(top_task);
	wake_up_process(top_task);
	return 0;
}

void probe_contexts_exit(void)
{
	context_call = NULL;
	complete(&top_wanted);
	/* This waits until the thread has left the code of this module. */
	kthread_stop(top_task);
	put_task_struct(top_task);
}
