/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The interface between the generated cases and the code that plays them.
 */
#ifndef PROBE_TARGETS_H
#define PROBE_TARGETS_H

#include <linux/compiler.h>
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/types.h>

#include "policy_jprobe.h"

struct dentry;

/*
 * A probed function must be the one that its caller calls: neither inlined nor,
 * as gcc does, cloned for constant arguments.
 */
#if defined(__clang__)
#define __probed noinline
#else
#define __probed __attribute__((__noipa__))
#endif

/* Limits of a record; harness/cases/checks.py enforces them. */
#define PROBE_AREA_MAX	1024
#define PROBE_ARGS_MAX	64

/* When a byte was recorded. */
enum look {
	LOOK_BEFORE,		/* as the handler found it */
	LOOK_AFTER,		/* as the handler left it */
	LOOK_SEEN,		/* as the probed function saw it */
	LOOKS
};

enum probe_context {
	PROBE_PROCESS,		/* the process that reads the record */
	PROBE_DEEP,		/* the same, with little of its stack left */
	PROBE_KTHREAD_TOP,	/* with the caller's frame as the topmost */
	PROBE_SOFTIRQ,
	PROBE_HARDIRQ,
	PROBE_CONTEXTS
};

/* Who does something while a handler runs, or waits. */
enum probe_agent {
	PROBE_BY_HANDLER,
	PROBE_BY_INTERRUPT,	/* on this CPU */
	PROBE_BY_CPU,		/* on another CPU */
};

/* What lies on the caller's stack for others to write to. */
enum probe_object {
	PROBE_BYTES,		/* every bit is inverted */
	PROBE_COUNTER,		/* u64: one is added */
	PROBE_COMPLETION,	/* the count of a struct completion */
	PROBE_LIST,		/* a list_head, to which an entry is added */
};

/**
 * struct probe_real - how a function of the kernel's own is reached
 * @action: what the program in user space is to do
 * @call: which of the calls that this leads to counts, from 1
 * @references: numbers of the by-reference arguments, in the signature's order
 */
struct probe_real {
	const char *action;
	unsigned int call;
	const u8 *references;
};

/**
 * struct probe_case - one experiment
 * @name: its name in a plan
 * @call: places the arguments and calls the probed function
 * @real: how else it is called, or NULL
 * @jp: the jprobe; what it is on, entry and signature are set by the generated
 *	code
 * @area: bytes of the argument area on the stack
 * @context: in which context to call it
 * @nested: the handler has the function of probe_nested called
 * @registered: set once the probe is in place
 */
struct probe_case {
	const char *name;
	void (*call)(void);
	const struct probe_real *real;
	struct policy_jprobe jp;
	unsigned int area;
	enum probe_context context;
	bool nested;
	bool registered;
};

extern struct probe_case probe_cases[];
extern const unsigned int probe_case_count;

/* Between plan.c, which plays a case, and observe.c. */
void probe_observe_begin(struct probe_case *pc);
int probe_observe_error(void);
void probe_observe_put(void);

void probe_keep_error(int err);

/* Called by every handler, first and last. */
void probe_handler_enter(void);
void probe_handler_leave(void);

/* Called first by every probed function of our own. */
void probe_target_enter(void);

/* Keeps a copy of argument @arg, and its address. */
void probe_look(enum look when, unsigned int arg, const void *at, size_t size);

/* A handler's store: inverts the bits in @mask in each of @size bytes. */
void probe_flip(void *at, size_t size, u8 mask);

/* The same for @size bytes from SP at the hit. */
void probe_flip_stack(size_t size);

/* Reads @count long arguments from *@ap, as a handler that formats would. */
void probe_consume(va_list *ap, unsigned int count);

/* Uses @size bytes of stack below the handler's frame. */
void probe_dive(size_t size);

/* An object of the caller's (or its caller's) that others may write to. */
void probe_object(enum probe_object kind, void *at, size_t size);
void probe_object_write(enum probe_agent agent);
void probe_object_look(enum look when);

/* Has probe_nested's function called. */
void probe_call_nested(enum probe_agent agent);

/* What probe_invalid_fp_entry() in calls.S calls. */
extern void *probe_invalid_fp_target;

#define PROBE_NESTED_WORDS	9

/**
 * struct probe_nested - the function that is called while a handler runs
 * @jp: its jprobe
 * @handler_runs: runs of its handler
 * @target_runs: runs of the function
 * @sent: the words that its caller passes
 * @seen: the words that the function saw
 * @registered: set once the probe is in place
 */
struct probe_nested {
	struct policy_jprobe jp;
	unsigned int handler_runs;
	unsigned int target_runs;
	long sent[PROBE_NESTED_WORDS];
	long seen[PROBE_NESTED_WORDS];
	bool registered;
};

extern struct probe_nested probe_nested;

/* The signature of a function of nine words. */
extern const struct stack_part probe_nine_words[];

void probe_nested_begin(void);
void probe_nested_put(void);

/* The case that came as data last. */
extern struct probe_case probe_assembled;

int probe_assembled_parse(char *line);
void probe_assembled_put(void);

/* Between assembled.c and calls.S. */
void probe_assembled_call(size_t size);
const u64 *probe_assembled_place(u8 *sp);
void probe_assembled_target(void);
void probe_assembled_handler(void);
void probe_assembled_seen(const u64 *regs, const u8 *sp);
void probe_assembled_handle(const u64 *regs, u8 *sp);

#ifdef JPROBE_NATIVE
/* Its hits cannot be told apart before a handler runs. */
static inline int probe_real_drive(const struct probe_real *real)
{
	return -EINVAL;
}

static inline void probe_real_watch(struct probe_case *pc, bool watch)
{
}

static inline void probe_real_put_moment(void)
{
}

static inline int probe_real_init(struct dentry *folder)
{
	return 0;
}
#else
int probe_real_drive(const struct probe_real *real);
void probe_real_watch(struct probe_case *pc, bool watch);
void probe_real_put_moment(void);
int probe_real_init(struct dentry *folder);
/* What the jprobe of such a case asks and tells. */
bool probe_real_wanted(struct policy_jprobe *jp, const struct pt_regs *regs);
void probe_real_seen(struct policy_jprobe *jp, const struct pt_regs *regs);
#endif

#ifdef JPROBE_TRACED
/* A pattern that the names of the cases' functions match. */
extern char probe_functions[];
/* A function for each case, with the prototype of the case's. */
extern void * const probe_twins[];
/* The number of each case's function in the module's BTF, 0 for one without. */
extern u32 probe_modifiable[];

void probe_modifiable_register(void);
void probe_modifiable_free(void);

void probe_redirect_begin(struct probe_case *pc);
int probe_redirect_init(struct dentry *folder);
void probe_redirect_exit(void);
#else
static inline void probe_redirect_begin(struct probe_case *pc)
{
}

static inline int probe_redirect_init(struct dentry *folder)
{
	return 0;
}

static inline void probe_redirect_exit(void)
{
}
#endif

int probe_storm(const struct stack_policy *policy, unsigned int milliseconds);
int probe_cost(const struct stack_policy *policy, unsigned int calls);

/* After the last CPU comes the first. */
static inline unsigned int probe_next_cpu(unsigned int cpu)
{
	do {
		cpu = (cpu + 1) % nr_cpu_ids;
	} while (!cpu_online(cpu));
	return cpu;
}

int probe_by_agent(enum probe_agent agent, void (*act)(void));

/* The size of a stack, and of KASAN's shadow of it. */
#define PROBE_SAVE_SIZE	(THREAD_SIZE + THREAD_SIZE / 8)

void probe_call_at_top(void (*call)(void), void *top, void *save);
/* Between calls.S and contexts.c. */
void probe_keep_frames(u8 *save, u8 *frames, size_t size);
void probe_put_frames_back(u8 *save, u8 *frames, size_t size);

int probe_contexts_init(void);
void probe_contexts_exit(void);
void probe_call_in(enum probe_context context, void (*call)(void));
enum probe_context probe_context(unsigned long depth);

#endif /* PROBE_TARGETS_H */
