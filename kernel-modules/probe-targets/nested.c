// SPDX-License-Identifier: GPL-2.0
/*
 * A second probed function, which is called while the handler of a first one
 * runs.  Its own handler must not run, and its arguments must arrive.
 */
#include <linux/string.h>

#include "probe_targets.h"
#include "record.h"

void probe_nested_target(long a0, long a1, long a2, long a3, long a4, long a5,
			 long a6, long a7, long a8);

__probed void probe_nested_target(long a0, long a1, long a2, long a3, long a4,
				  long a5, long a6, long a7, long a8)
{
	const long seen[] = { a0, a1, a2, a3, a4, a5, a6, a7, a8 };

	memcpy(probe_nested.seen, seen, sizeof(seen));
	probe_nested.target_runs++;
}

static __probed void probe_nested_handler(long a0, long a1, long a2, long a3,
					  long a4, long a5, long a6, long a7,
					  long a8)
{
	probe_nested.handler_runs++;
	probe_flip(&a8, sizeof(a8), 0xff);
	jprobe_return();
}

const struct stack_part probe_nine_words[] = {
	{ STACK_PART_AT_SP, 0, sizeof(long) },
	{}
};

struct probe_nested probe_nested = {
	.jp.addr = probe_nested_target,
	.jp.entry = probe_nested_handler,
	.jp.signature = probe_nine_words,
	.sent = { 0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777,
		  0x8888, 0x9999 },
};

static __probed void call_nested(void)
{
	const long *sent = probe_nested.sent;

	probe_nested_target(sent[0], sent[1], sent[2], sent[3], sent[4],
			    sent[5], sent[6], sent[7], sent[8]);
}

void probe_call_nested(enum probe_agent agent)
{
	probe_keep_error(probe_by_agent(agent, call_nested));
}

void probe_nested_begin(void)
{
	probe_nested.handler_runs = 0;
	probe_nested.target_runs = 0;
}

/**
 * probe_nested_put - add to the record what was seen of the call, if there was one
 */
void probe_nested_put(void)
{
	struct jprobe_stat stat;

	if (!probe_nested.target_runs)
		return;
	policy_jprobe_stat(&probe_nested.jp, &stat);
	probe_put_counts(RECORD_NESTED, &stat, probe_nested.handler_runs,
			 probe_nested.target_runs);
	probe_put_bytes(probe_nested.sent, sizeof(probe_nested.sent));
	probe_put_bytes(probe_nested.seen, sizeof(probe_nested.seen));
}
