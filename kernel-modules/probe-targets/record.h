/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writes the record of a play.
 */
#ifndef RECORD_H
#define RECORD_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "probe_targets.h"

int probe_record_alloc(void);
void probe_record_free(void);

void probe_record_begin(void);
bool probe_record_is_read(void);
ssize_t probe_record_read(char __user *buf, size_t size);

/* Add to the record that is being written. */
__printf(1, 2) void probe_put(const char *fmt, ...);
void probe_put_bytes(const char *name, const void *bytes, size_t size);
void probe_put_stack(const struct stack_hit *stack, enum probe_context context);
void probe_put_counts(const struct jprobe_stat *stat, unsigned int handler,
		      unsigned int target);

/* The words of contexts. */
extern const char * const probe_context_names[PROBE_CONTEXTS];

#endif /* RECORD_H */
