// SPDX-License-Identifier: GPL-2.0
/*
 * Observes the play in progress: what handlers and probed functions see, and
 * what is written meanwhile.
 */
#include <linux/completion.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "inspected.h"
#include "probe_targets.h"
#include "record.h"

#define POOL_SIZE	SZ_16K

struct looked {
	unsigned long at;
	size_t size;
	const u8 *bytes[LOOKS];
};

struct probe_case *probe_playing;
void *probe_invalid_fp_target;

/* What was seen of the case that is being played. */
static struct {
	unsigned int handler_runs;
	unsigned int target_runs;
	enum probe_context context;
	u8 area[LOOKS][PROBE_AREA_MAX];
	bool area_looked[LOOKS];
	struct looked args[PROBE_ARGS_MAX];
	enum probe_object object_kind;
	struct looked object;
	u8 pool[POOL_SIZE];
	size_t pooled;
	int err;
} play;

/**
 * probe_observe_begin - forget the last play, and observe another
 * @pc: the case that is played
 */
void probe_observe_begin(struct probe_case *pc)
{
	memset(&play, 0, sizeof(play));
	probe_playing = pc;
}

/**
 * probe_observe_error - report what went wrong in a play
 *
 * Return: 0, or the first error that probe_keep_error() was called with.
 */
int probe_observe_error(void)
{
	return play.err;
}

/**
 * probe_keep_error - take an error where there is nobody to return it to
 * @err: the error, or 0
 */
void probe_keep_error(int err)
{
	if (!play.err)
		play.err = err;
}

static void look_at_area(enum look when)
{
	/* Without a hit there is no stack to look at, and the case is void. */
	if (!atomic_long_read(&probe_playing->jp.stat.hits))
		return;
	stack_copy(play.area[when], (void *)probe_playing->jp.stat.stack.sp,
		   probe_playing->area);
	play.area_looked[when] = true;
}

void probe_handler_enter(void)
{
	play.handler_runs++;
	look_at_area(LOOK_BEFORE);
}

void probe_handler_leave(void)
{
	look_at_area(LOOK_AFTER);
}

void probe_target_enter(void)
{
	const struct stack_hit *stack = &probe_playing->jp.stat.stack;

	play.target_runs++;
	play.context = probe_context(stack->top - stack->sp);
	look_at_area(LOOK_SEEN);
}

static void look_at(struct looked *looked, enum look when, const void *at,
		    size_t size)
{
	u8 *bytes = play.pool + play.pooled;

	if (size > POOL_SIZE - play.pooled) {
		probe_keep_error(-ENOSPC);
		return;
	}
	stack_copy(bytes, at, size);
	play.pooled += size;
	looked->at = (unsigned long)at;
	looked->size = size;
	looked->bytes[when] = bytes;
}

void probe_look(enum look when, unsigned int arg, const void *at, size_t size)
{
	if (arg < PROBE_ARGS_MAX)
		look_at(&play.args[arg], when, at, size);
	else
		probe_keep_error(-EINVAL);
}

void probe_flip(void *at, size_t size, u8 mask)
{
	u8 *byte = at;

	while (size--)
		*byte++ ^= mask;
}

void probe_flip_stack(size_t size)
{
	probe_flip((void *)probe_playing->jp.stat.stack.sp, size, 0xff);
}

void probe_consume(va_list *ap, unsigned int count)
{
	while (count--)
		(void)va_arg(*ap, long);
}

noinline void probe_dive(size_t size)
{
	u8 frame[256];

	memset(frame, 0x5a, sizeof(frame));
	barrier_data(frame);
	if (size > sizeof(frame))
		probe_dive(size - sizeof(frame));
	barrier_data(frame);
}

void probe_object(enum probe_object kind, void *at, size_t size)
{
	play.object_kind = kind;
	look_at(&play.object, LOOK_BEFORE, at, size);
}

/* The entry that is added to a list. */
static struct list_head object_node;

static void write_object(void)
{
	void *at = (void *)play.object.at;

	switch (play.object_kind) {
	case PROBE_BYTES:
		probe_flip(at, play.object.size, 0xff);
		break;
	case PROBE_COUNTER:
		++*(u64 *)at;
		break;
	case PROBE_COMPLETION:
		complete(container_of(at, struct completion, done));
		break;
	case PROBE_LIST:
		list_add(&object_node, at);
		break;
	}
}

void probe_object_write(enum probe_agent agent)
{
	probe_keep_error(probe_by_agent(agent, write_object));
}

void probe_object_look(enum look when)
{
	look_at(&play.object, when, (void *)play.object.at, play.object.size);
}

static void put_looked(const struct looked *looked)
{
	enum look when;

	for (when = LOOK_BEFORE; when < LOOKS; when++)
		probe_put_bytes(looked->bytes[when], looked->size);
}

/**
 * probe_observe_put - add to the record what was seen of the play
 */
void probe_observe_put(void)
{
	struct jprobe_stat stat;
	enum look when;
	unsigned int i;

	policy_jprobe_stat(&probe_playing->jp, &stat);
	probe_put_stack(&stat.stack, play.context);
	probe_put_counts(RECORD_COUNT, &stat, play.handler_runs,
			 play.target_runs);
	probe_put(RECORD_SAVE, stat.known, stat.saved, stat.overflow);
	probe_put(RECORD_AREA);
	for (when = LOOK_BEFORE; when < LOOKS; when++)
		probe_put_bytes(play.area_looked[when] ? play.area[when] : NULL,
				probe_playing->area);
	for (i = 0; i < PROBE_ARGS_MAX; i++) {
		if (!play.args[i].size)
			continue;
		probe_put(RECORD_ARG, i, play.args[i].at);
		put_looked(&play.args[i]);
	}
	if (play.object.size) {
		probe_put(RECORD_OBJECT, (unsigned long)&object_node,
			  play.object.at);
		put_looked(&play.object);
	}
}
