// SPDX-License-Identifier: GPL-2.0
/*
 * Agents, which do something while a handler runs.
 */
#include <linux/errno.h>
#include <linux/irq_work.h>
#include <linux/processor.h>
#include <linux/smp.h>

#include "probe_targets.h"

/* What the agent is to do; cleared when it is done. */
static void (*agent_act)(void);

static void agent_run(void)
{
	agent_act();
	/* The action's stores must be visible before the wait ends. */
	smp_store_release(&agent_act, NULL);
}

static void agent_interrupt(struct irq_work *work)
{
	agent_run();
}

static void agent_call(void *unused)
{
	agent_run();
}

/* Handlers run with preemption off, so the wait stays on this CPU. */
static void agent_wait(void)
{
	/* Loads after the wait must see the action's stores. */
	while (smp_load_acquire(&agent_act))
		cpu_relax();
}

/**
 * probe_by_agent - have something done while a handler waits
 * @agent: who does it
 * @act: what to do, once
 *
 * Return: 0, or an error where the agent could not be asked and nothing was done.
 */
int probe_by_agent(enum probe_agent agent, void (*act)(void))
{
	static struct irq_work work = IRQ_WORK_INIT_HARD(agent_interrupt);
	static call_single_data_t csd = { .func = agent_call };
	unsigned int cpu;
	int err;

	agent_act = act;
	switch (agent) {
	case PROBE_BY_INTERRUPT:
		irq_work_queue(&work);
		break;
	case PROBE_BY_CPU:
		cpu = probe_next_cpu(smp_processor_id());
		if (cpu == smp_processor_id())
			return -ENXIO;
		err = smp_call_function_single_async(cpu, &csd);
		if (err)
			return err;
		break;
	default:
		agent_run();
	}
	agent_wait();
	return 0;
}
