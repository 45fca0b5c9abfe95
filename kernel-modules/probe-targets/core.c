// SPDX-License-Identifier: GPL-2.0
/*
 * Plays cases and records what happened, byte by byte.
 *
 * /proc/jprobe-cases takes a plan, one "CASE POLICY SIZE" a line, and gives a
 * record for each: every read() plays the next line.  "= POLICY SIZE" is
 * followed by a case as data, see probe_assembled_parse(), "~ POLICY SIZE" by
 * the milliseconds of a storm, see probe_storm(), "$ POLICY SIZE" by the calls that
 * probe_cost() makes.  Records are text, so that they pass any channel;
 * harness/guest/protocol.py reads them.
 */
#include <linux/completion.h>
#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>

#include "probe_targets.h"

#define PLAN_SIZE	SZ_64K
/* How many characters of a plan's line its record has. */
#define LINE_SHOWN	64
#define RECORD_SIZE	SZ_128K
#define POOL_SIZE	SZ_16K

/* The words of a plan; harness/model/policy.py has the same ones. */
static const char * const policy_names[STACK_POLICY_KINDS] = {
	[STACK_POLICY_NONE] = "none",
	[STACK_POLICY_FIXED] = "fixed",
	[STACK_POLICY_V15] = "v15",
	[STACK_POLICY_FP_DELTA] = "fp-delta",
	[STACK_POLICY_THREAD_SIZE] = "thread-size",
	[STACK_POLICY_KERNEL] = "kernel",
};

/* The words of a case's description. */
const char * const probe_context_names[PROBE_CONTEXTS] = {
	[PROBE_PROCESS] = "process",
	[PROBE_DEEP] = "deep",
	[PROBE_KTHREAD_TOP] = "kthread-top",
	[PROBE_SOFTIRQ] = "softirq",
	[PROBE_HARDIRQ] = "hardirq",
};

struct looked {
	unsigned long at;
	size_t size;
	const u8 *bytes[LOOKS];
};

/* The case that is being played, and what was recorded of it. */
static struct {
	struct probe_case *pc;
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

/* Held while a plan is read or a case is played. */
static DEFINE_MUTEX(plan_lock);
static char *plan, *plan_next;
static size_t plan_size;
static char *record;
static size_t record_len, record_read;
static unsigned int played;

void probe_keep_error(int err)
{
	if (!play.err)
		play.err = err;
}

static void look_at_area(enum look when)
{
	/* Without a hit there is no stack to look at, and the case is void. */
	if (!atomic_long_read(&play.pc->jp.stat.hits))
		return;
	stack_copy(play.area[when], (void *)play.pc->jp.stat.stack.sp,
		   play.pc->area);
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
	play.target_runs++;
	play.context = probe_context(play.pc->jp.stat.stack.top -
				     play.pc->jp.stat.stack.sp);
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
	probe_flip((void *)play.pc->jp.stat.stack.sp, size, 0xff);
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

void probe_put(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	record_len += vscnprintf(record + record_len, RECORD_SIZE - record_len,
				 fmt, args);
	va_end(args);
}

void probe_put_stack(const struct stack_hit *stack, enum probe_context context)
{
	probe_put("stack sp=%lx fp=%lx top=%lx irq=%d context=%s\n", stack->sp,
		  stack->fp, stack->top, stack->irq,
		  probe_context_names[context]);
}

static void put_bytes(const char *name, const u8 *bytes, size_t size)
{
	probe_put(" %s=", name);
	if (!bytes)
		return;
	/* printk's hexadecimal goes up to 64 bytes. */
	for (; size > 64; size -= 64, bytes += 64)
		probe_put("%64phN", bytes);
	probe_put("%*phN", (int)size, bytes);
}

static void put_looked(const struct looked *looked)
{
	probe_put(" at=%lx", looked->at);
	put_bytes("before", looked->bytes[LOOK_BEFORE], looked->size);
	put_bytes("after", looked->bytes[LOOK_AFTER], looked->size);
	put_bytes("seen", looked->bytes[LOOK_SEEN], looked->size);
	probe_put("\n");
}

static const u8 *looked_area(enum look when)
{
	return play.area_looked[when] ? play.area[when] : NULL;
}

static void put_counts(const struct jprobe_stat *stat, unsigned int handler,
		       unsigned int target)
{
	long hits = atomic_long_read(&stat->hits);
	long missed = atomic_long_read(&stat->missed);
	/* Without a count of skipped hits, the rest has reached no handler. */
	long skipped = stat->known ? atomic_long_read(&stat->skipped) :
				     hits - missed - handler;

	probe_put(" hits=%ld handler=%u target=%u missed=%ld skipped=%ld", hits,
		  handler, target, missed, skipped);
}

static void put_nested(void)
{
	struct jprobe_stat stat;

	policy_jprobe_stat(&probe_nested.jp, &stat);
	probe_put("nested");
	put_counts(&stat, probe_nested.handler_runs, probe_nested.target_runs);
	put_bytes("sent", (const u8 *)probe_nested.sent,
		  sizeof(probe_nested.sent));
	put_bytes("seen", (const u8 *)probe_nested.seen,
		  sizeof(probe_nested.seen));
	probe_put("\n");
}

static void put_play(void)
{
	size_t area = play.pc->area;
	struct jprobe_stat stat;
	unsigned int i;

	policy_jprobe_stat(&play.pc->jp, &stat);
	probe_put_stack(&stat.stack, play.context);
	probe_put("count");
	put_counts(&stat, play.handler_runs, play.target_runs);
	probe_put("\n");
	if (stat.known)
		probe_put("save saved=%ld overflow=%lu\n", stat.saved,
			  stat.overflow);
	else
		probe_put("save saved=unknown overflow=unknown\n");
	probe_put("area");
	put_bytes("before", looked_area(LOOK_BEFORE), area);
	put_bytes("after", looked_area(LOOK_AFTER), area);
	put_bytes("seen", looked_area(LOOK_SEEN), area);
	probe_put("\n");
	for (i = 0; i < PROBE_ARGS_MAX; i++) {
		if (!play.args[i].size)
			continue;
		probe_put("arg index=%u", i);
		put_looked(&play.args[i]);
	}
	if (play.object.size) {
		probe_put("object node=%lx", (unsigned long)&object_node);
		put_looked(&play.object);
	}
	if (probe_nested.target_runs)
		put_nested();
	if (play.pc == &probe_assembled) {
		probe_put("frame");
		probe_assembled_put(put_bytes);
		probe_put("\n");
	}
}

static unsigned long taint(void)
{
	unsigned long flags = 0;
	int flag;

	for (flag = 0; flag < TAINT_FLAGS_COUNT; flag++)
		flags |= (unsigned long)test_taint(flag) << flag;
	return flags;
}

static struct probe_case *find_case(const char *name)
{
	unsigned int i;

	if (!strcmp(name, probe_assembled.name))
		return &probe_assembled;
	for (i = 0; i < probe_case_count; i++)
		if (!strcmp(probe_cases[i].name, name))
			return &probe_cases[i];
	return NULL;
}

/* Registers a probe unless it is registered, and resets its counts. */
static int arm(struct policy_jprobe *jp, bool *registered,
	       const struct stack_policy *policy)
{
	int err = 0;

	jp->policy = *policy;
	if (!*registered)
		err = register_policy_jprobe(jp);
	if (err)
		return err;
	*registered = true;
	return policy_jprobe_reset(jp, policy);
}

/* Returns what could not be done; the record also gets the error. */
static const char *failed(int err, const char *what)
{
	probe_put("errno value=%d\n", err);
	return what;
}

/* These return a sentence that says what is wrong with the line, or NULL. */

static const char *play_number(int (*play)(const struct stack_policy *policy,
					   unsigned int number),
			       const struct stack_policy *policy,
			       const char *line)
{
	unsigned int number;
	int err;

	if (!line || kstrtouint(line, 10, &number))
		return "not a number behind POLICY SIZE";
	err = play(policy, number);
	return err ? failed(err, "the line could not be played") : NULL;
}

static const char *play_case(const char *name,
			     const struct stack_policy *policy, char *line)
{
	struct probe_case *pc = find_case(name);
	int err;

	if (!pc)
		return "no such case";
	if (pc == &probe_assembled) {
		err = line ? probe_assembled_parse(line) : -EINVAL;
		if (err)
			return failed(err, "not a case as data");
	}

	err = arm(&pc->jp, &pc->registered, policy);
	if (!err && pc->nested)
		err = arm(&probe_nested.jp, &probe_nested.registered, policy);
	if (err)
		return failed(err, "the probe could not be registered");

	memset(&play, 0, sizeof(play));
	play.pc = pc;
	probe_nested.handler_runs = 0;
	probe_nested.target_runs = 0;
	err = probe_call_in(pc->context, pc->call);
	if (!err)
		err = play.err;
	if (err)
		return failed(err, "the case could not be played");

	put_play();
	return NULL;
}

static const char *play_line(char *line)
{
	char *name = strsep(&line, " "), *kind = strsep(&line, " ");
	char *size = strsep(&line, " ");
	unsigned long before = taint();
	struct stack_policy policy = {};
	const char *error;

	if (!kind || !size || kstrtouint(size, 10, &policy.size))
		return "not CASE POLICY SIZE";
	for (policy.kind = 0; policy.kind < STACK_POLICY_KINDS; policy.kind++)
		if (!strcmp(policy_names[policy.kind], kind))
			break;
	if (policy.kind == STACK_POLICY_KINDS)
		return "no such policy";
	if (stack_policy_buffer(&policy) > THREAD_SIZE)
		return "save buffer larger than a stack";

	if (!strcmp(name, "~"))
		error = play_number(probe_storm, &policy, line);
	else if (!strcmp(name, "$"))
		error = play_number(probe_cost, &policy, line);
	else
		error = play_case(name, &policy, line);
	if (!error)
		probe_put("taint before=%lx after=%lx\n", before, taint());
	return error;
}

/*
 * The checksum is of everything in the record so far.  Not inlined, as a debugger
 * stops here.
 */
static noinline void put_end(unsigned int seq)
{
	probe_put("end seq=%u crc=%08x\n", seq,
		  ~crc32_le(~0, (const u8 *)record, record_len));
}

static void play_next(void)
{
	char *line = strsep(&plan_next, "\n");
	const char *error;

	record_len = 0;
	record_read = 0;
	played++;
	/*
	 * Pins a splat in the console log on the case that was running.  Each
	 * character takes microseconds to send.
	 */
	pr_notice("jp#%u\n", played);
	probe_put("play seq=%u line=%.*s\n", played, LINE_SHOWN, line);
	error = play_line(line);
	if (error)
		probe_put("error text=%s\n", error);
	put_end(played);
}

static ssize_t cases_read(struct file *file, char __user *buf, size_t size,
			  loff_t *pos)
{
	ssize_t ret;

	ret = mutex_lock_interruptible(&plan_lock);
	if (ret)
		return ret;
	if (record_read == record_len && plan_next && *plan_next)
		play_next();
	ret = min(size, record_len - record_read);
	if (copy_to_user(buf, record + record_read, ret))
		ret = -EFAULT;
	else
		record_read += ret;
	mutex_unlock(&plan_lock);
	return ret;
}

/* Makes room for @size bytes behind the plan, which is @used long. */
static int reserve_plan(size_t used, size_t size)
{
	size_t grown = max(2 * plan_size, used + size + 1);
	char *copy;

	if (used + size < plan_size)
		return 0;
	copy = vmalloc(grown);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, plan, used + 1);
	plan_next = copy + (plan_next - plan);
	vfree(plan);
	plan = copy;
	plan_size = grown;
	return 0;
}

static ssize_t cases_write(struct file *file, const char __user *buf,
			   size_t size, loff_t *pos)
{
	ssize_t ret;
	size_t used;

	ret = mutex_lock_interruptible(&plan_lock);
	if (ret)
		return ret;
	if (!plan_next || !*plan_next)
		*(plan_next = plan) = '\0';
	used = plan_next - plan + strlen(plan_next);
	ret = reserve_plan(used, size);
	if (!ret && copy_from_user(plan + used, buf, size))
		ret = -EFAULT;
	if (!ret) {
		plan[used + size] = '\0';
		ret = size;
	} else {
		plan[used] = '\0';
	}
	mutex_unlock(&plan_lock);
	return ret;
}

static const struct proc_ops cases_ops = {
	.proc_read = cases_read,
	.proc_write = cases_write,
};

static void free_buffers(void)
{
	vfree(plan);
	vfree(record);
}

static int __init probe_targets_init(void)
{
	plan = vzalloc(PLAN_SIZE);
	plan_size = PLAN_SIZE;
	record = vmalloc(RECORD_SIZE);
	if (!plan || !record)
		goto no_memory;
	probe_put("guest release=%s thread_size=%lu irq_stack_size=%lu cases=%u\n",
		  utsname()->release, (unsigned long)THREAD_SIZE,
		  (unsigned long)IRQ_STACK_SIZE, probe_case_count);
	put_end(0);
	if (!proc_create("jprobe-cases", 0600, NULL, &cases_ops))
		goto no_memory;
	return 0;

no_memory:
	free_buffers();
	return -ENOMEM;
}

static void __exit probe_targets_exit(void)
{
	unsigned int i;

	remove_proc_entry("jprobe-cases", NULL);
	for (i = 0; i < probe_case_count; i++)
		if (probe_cases[i].registered)
			unregister_policy_jprobe(&probe_cases[i].jp);
	if (probe_nested.registered)
		unregister_policy_jprobe(&probe_nested.jp);
	if (probe_assembled.registered)
		unregister_policy_jprobe(&probe_assembled.jp);
	free_buffers();
}

module_init(probe_targets_init);
module_exit(probe_targets_exit);
MODULE_DESCRIPTION("functions to probe, and the cases that probe them");
MODULE_LICENSE("GPL");
