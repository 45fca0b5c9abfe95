/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writes the record of a play.
 */
#ifndef RECORD_H
#define RECORD_H

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/types.h>

#include "probe_targets.h"

int probe_record_alloc(void);
void probe_record_free(void);

void probe_record_begin(void);
bool probe_record_is_read(void);
ssize_t probe_record_read(char __user *buf, size_t size);

/*
 * The lines of a record, with their numbers, and after the semicolon their
 * strings.  harness/guest/fields.py has the same ones in the same order.
 */
enum record_line {
	RECORD_GUEST,		/* thread_size irq_stack_size cases; release */
	RECORD_PLAY,		/* seq; line */
	RECORD_STACK,		/* sp fp top irq context */
	RECORD_COUNT,		/* hits handler target missed skipped */
	RECORD_SAVE,		/* known saved overflow */
	RECORD_AREA,		/* ; before after seen */
	RECORD_ARG,		/* index at; before after seen */
	RECORD_OBJECT,		/* node at; before after seen */
	RECORD_NESTED,		/* hits handler target missed skipped; sent seen */
	RECORD_FRAME,		/* ; passed arrived before after seen */
	RECORD_STORM,		/* milliseconds hits missed skipped */
	RECORD_CALLER,		/* cpu context calls handler target corrupt wrong at_once */
	RECORD_COST,		/* hits handler target bare probed frequency instructions ticks */
	RECORD_PROOF,		/* reseeded; release notes */
	RECORD_TAINT,		/* before after */
	RECORD_ERROR,		/* ; text */
	RECORD_ERRNO,		/* value */
	RECORD_DRIVEN,		/* status; passed arrived effect */
	RECORD_MOMENT,		/* time cpu pid */
};

/* Begins a line of the record with these numbers. */
#define probe_put(line, ...)						\
do {									\
	const s64 numbers[] = { __VA_ARGS__ };				\
									\
	probe_put_line(line, numbers, ARRAY_SIZE(numbers));		\
} while (0)

void probe_put_line(enum record_line line, const s64 *numbers,
		    unsigned int count);
void probe_put_bytes(const void *bytes, size_t size);
void probe_put_text(const char *text);
void probe_put_stack(const struct stack_hit *stack, enum probe_context context);
void probe_put_counts(enum record_line line, const struct jprobe_stat *stat,
		      unsigned int handler, unsigned int target);

#endif /* RECORD_H */
