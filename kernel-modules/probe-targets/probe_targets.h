/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the generated cases and the code that plays them know of each other.
 */
#ifndef PROBE_TARGETS_H
#define PROBE_TARGETS_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "jprobe_port.h"

/*
 * A probed function must be the one that its caller calls: neither inlined nor
 * cloned for constant arguments.
 */
#if defined(__clang__)
#define __probed __attribute__((__optnone__))
#else
#define __probed __attribute__((__noipa__))
#endif

/* What a record has room for; harness/catalog.py holds cases to it. */
#define PROBE_AREA_MAX	1024
#define PROBE_ARGS_MAX	64

/* When a byte was looked at. */
enum look {
	LOOK_BEFORE,		/* as the handler found it */
	LOOK_AFTER,		/* as the handler left it */
	LOOK_SEEN,		/* as the probed function saw it */
	LOOKS
};

enum probe_context {
	PROBE_PROCESS,		/* the process that reads the record */
	PROBE_SOFTIRQ,
	PROBE_HARDIRQ,
	PROBE_CONTEXTS
};

/**
 * struct probe_case - one experiment
 * @name: as in the plan
 * @call: places the arguments and calls the probed function
 * @jp: the jprobe; kp.addr and entry are set by the generated code
 * @area: bytes of the argument area on the stack
 * @context: from where to call
 * @registered: set once the probe is in place
 */
struct probe_case {
	const char *name;
	void (*call)(void);
	struct jprobe jp;
	unsigned int area;
	enum probe_context context;
	bool registered;
};

extern struct probe_case probe_cases[];
extern const unsigned int probe_case_count;

/* Called by every handler, first and last. */
void probe_handler_enter(void);
void probe_handler_leave(void);

/* Called first by every probed function. */
void probe_target_enter(void);

/* Keeps a copy of argument @arg, and its address. */
void probe_look(enum look when, unsigned int arg, const void *at, size_t size);

/* A handler's store: every bit of @size bytes, or those in @mask. */
void probe_flip(void *at, size_t size, u8 mask);

/* The same for @size bytes from SP at the hit. */
void probe_flip_stack(size_t size);

/* Reads @count long arguments from *@ap, as a handler that formats would. */
void probe_consume(va_list *ap, unsigned int count);

/* Uses @size bytes of stack below the handler's frame. */
void probe_dive(size_t size);

/* An object of the caller's (or its caller's) that the handler may write to. */
void probe_object(void *at, size_t size);
void probe_object_flip(void);
void probe_object_look(enum look when);

/*
 * Defines name(), which calls target() with the arguments that it was called
 * with, but with a frame pointer that points nowhere.  The stacked arguments
 * must stay where they are, so the frame record is kept in static memory.
 */
#define PROBE_INVALID_FP_CALL(name, target)			\
	asm("	.pushsection .bss\n"				\
	    "	.balign 16\n"					\
	    #name "_frame:\n"					\
	    "	.skip 16\n"					\
	    "	.popsection\n"					\
	    "	.pushsection .text\n"				\
	    "	.type " #name ", %function\n"			\
	    #name ":\n"						\
	    "	adrp	x16, " #name "_frame\n"			\
	    "	add	x16, x16, :lo12:" #name "_frame\n"	\
	    "	stp	x29, x30, [x16]\n"			\
	    "	mov	x29, #0x10\n"				\
	    "	bl	" #target "\n"				\
	    "	adrp	x16, " #name "_frame\n"			\
	    "	add	x16, x16, :lo12:" #name "_frame\n"	\
	    "	ldp	x29, x30, [x16]\n"			\
	    "	ret\n"						\
	    "	.size " #name ", . - " #name "\n"		\
	    "	.popsection\n")

#endif /* PROBE_TARGETS_H */
