// SPDX-License-Identifier: GPL-2.0
/*
 * Takes plans and plays them.
 *
 * In debugfs, jprobe-harness/cases takes a plan, one "CASE POLICY SIZE" a line,
 * and gives a record for each: every read() plays the next line.  "= POLICY SIZE"
 * is followed by a case as data, see probe_assembled_parse(), "~ POLICY SIZE" by
 * the milliseconds of a storm, see probe_storm(), "$ POLICY SIZE" by the calls
 * that probe_cost() makes, "% POLICY SIZE" by a case whose function is called
 * without a jprobe.  "? NONCE SECONDS SEED" sets the clock, seeds random numbers,
 * and is answered by what the host knows the guest by, and "!" powers off.
 * jprobe-harness/stream does the same, but read() waits for the next line, until
 * a line that is a dot ends the plan.
 */
#include <linux/completion.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/reboot.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>

#include "debugfs.h"
#include "inspected.h"
#include "kmsg_dump.h"
#include "probe_targets.h"
#include "random.h"
#include "record.h"

#define PLAN_SIZE	SZ_64K
/* How many characters of a plan's line its record has. */
#define LINE_SHOWN	64

/* The words of a plan; harness/model/policy.py has the same ones. */
static const char * const policy_names[STACK_POLICY_KINDS] = {
	[STACK_POLICY_NONE] = "none",
	[STACK_POLICY_FIXED] = "fixed",
	[STACK_POLICY_V15] = "v15",
	[STACK_POLICY_FP_DELTA] = "fp-delta",
	[STACK_POLICY_THREAD_SIZE] = "thread-size",
	[STACK_POLICY_SIGNATURE] = "signature",
	[STACK_POLICY_KERNEL] = "kernel",
};

/* Held while a plan is read or a case is played. */
static DEFINE_MUTEX(plan_lock);
static DECLARE_COMPLETION(plan_grown);
/* What has not been played is from @plan_next to @plan_end. */
static char *plan, *plan_next, *plan_end;
static size_t plan_size;
/* Lines in there that are complete. */
static unsigned int plan_lines;
static unsigned int played;
static struct dentry *plan_folder;
/* Where in the kernel's log the last look at it ended. */
static struct kmsg_dump_iter log_seen = COMPAT_LOG_READER;

/* The ELF notes of the kernel in base64, which user space has read. */
static char *notes = "";
module_param(notes, charp, 0600);
MODULE_PARM_DESC(notes, "what /sys/kernel/notes has, in base64");

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
	probe_put(RECORD_ERRNO, err);
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

/* Has the function of a case called. */
static int call_function(const struct probe_case *pc)
{
	if (pc->real)
		return probe_real_drive(pc->real);
	probe_call_in(pc->context, pc->call);
	return 0;
}

static const char *play_case(const char *name,
			     const struct stack_policy *policy, char *line)
{
	struct probe_case *pc = find_case(name);
	int err = 0;

	if (!pc)
		return "no such case";
	if (pc == &probe_assembled) {
		err = line ? probe_assembled_parse(line) : -EINVAL;
		if (err)
			return failed(err, "not a case as data");
	}

	/* Last the one whose handler runs: an engine may know one signature only. */
	if (pc->nested)
		err = arm(&probe_nested.jp, &probe_nested.registered, policy);
	if (!err)
		err = arm(&pc->jp, &pc->registered, policy);
	if (err)
		return failed(err, "the probe could not be registered");

	probe_observe_begin(pc);
	probe_nested_begin();
	probe_redirect_begin(pc);
	err = call_function(pc);
	if (!err)
		err = probe_observe_error();
	if (err)
		return failed(err, "the case could not be played");

	probe_observe_put();
	probe_nested_put();
	if (pc == &probe_assembled)
		probe_assembled_put();
	return NULL;
}

/* Plays a case for whoever else has a probe on its function. */
static const char *play_bare(const char *name,
			     const struct stack_policy *policy)
{
	struct probe_case *pc = name ? find_case(name) : NULL;
	int err;

	if (!pc || pc == &probe_assembled)
		return "no such case";
	if (pc->registered)
		unregister_policy_jprobe(&pc->jp);
	pc->registered = false;
	err = policy_jprobe_reset(&pc->jp, policy);
	if (!err && pc->real) {
		/* It tells which hit counts: the last probe comes first. */
		probe_real_watch(pc, true);
		err = arm(&pc->jp, &pc->registered, policy);
	}
	if (err) {
		probe_real_watch(pc, false);
		return failed(err, "the case could not be prepared");
	}

	probe_observe_begin(pc);
	probe_redirect_begin(pc);
	err = call_function(pc);
	probe_real_watch(pc, false);
	if (!err)
		err = probe_observe_error();
	if (err)
		return failed(err, "the case could not be played");
	probe_observe_put();
	if (pc->real)
		probe_real_put_moment();
	return NULL;
}

static const char *prove(const char *seconds, const char *seed)
{
	struct timespec64 time = {};
	int err = -EINVAL;
	s64 now;

	if (seconds && seed)
		err = kstrtos64(seconds, 10, &now);
	if (!err) {
		time.tv_sec = now;
		err = do_settimeofday64(&time);
	}
	if (err)
		return failed(err, "the clock could not be set");
	probe_put(RECORD_PROOF, compat_reseed(seed));
	probe_put_text(utsname()->release);
	probe_put_text(notes);
	return NULL;
}

static const char *play_line(char *line)
{
	char *name = strsep(&line, " "), *kind = strsep(&line, " ");
	char *size = strsep(&line, " ");
	unsigned long before = taint();
	struct stack_policy policy = {};
	const char *error;

	if (!strcmp(name, "?"))
		return prove(size, line);
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
	else if (!strcmp(name, "%"))
		error = play_bare(line, &policy);
	else
		error = play_case(name, &policy, line);
	if (!error)
		probe_put(RECORD_TAINT, before, taint());
	return error;
}

/* Returns whether the kernel has printed anything since the last call. */
static bool log_grew(void)
{
	bool grew = false;

	while (kmsg_dump_get_line(&log_seen, false, NULL, 0, NULL))
		grew = true;
	return grew;
}

/*
 * Pins what the kernel has printed since the last mark on the line that was
 * played.  A console takes longer for a mark than a play takes.
 */
static void mark_log(void)
{
	if (!log_grew())
		return;
	pr_notice("jp#%u\n", played);
	log_grew();
}

/* Returns the next line of the plan, without its end. */
static char *take_line(void)
{
	plan_lines--;
	return strsep(&plan_next, "\n");
}

static void play_next(void)
{
	char *line = take_line();
	const char *error;

	mark_log();
	probe_record_begin();
	played++;
	probe_put(RECORD_PLAY, played);
	probe_put_bytes(line, min_t(size_t, strlen(line), LINE_SHOWN));
	error = play_line(line);
	if (error) {
		probe_put(RECORD_ERROR);
		probe_put_text(error);
	}
	mark_log();
	probe_put_end();
}

/* Returns 1 once there is a line, 0 if there will be none, or an error. */
static int await_line(struct completion *grown)
{
	int err = 0;

	while (!plan_lines && grown && !err) {
		mutex_unlock(&plan_lock);
		err = wait_for_completion_interruptible(grown);
		mutex_lock(&plan_lock);
	}
	if (err || !plan_lines)
		return err;
	if (!strncmp(plan_next, "!\n", 2))
		kernel_power_off();
	if (strncmp(plan_next, ".\n", 2))
		return 1;
	take_line();
	return 0;
}

static int cases_open(struct inode *inode, struct file *file)
{
	file->private_data = inode->i_private;
	return nonseekable_open(inode, file);
}

static ssize_t cases_read(struct file *file, char __user *buf, size_t size,
			  loff_t *pos)
{
	ssize_t ret;

	ret = mutex_lock_interruptible(&plan_lock);
	if (ret)
		return ret;
	if (probe_record_is_read()) {
		ret = await_line(file->private_data);
		if (ret <= 0)
			goto unlock;
		play_next();
	}
	ret = probe_record_read(buf, size);
unlock:
	mutex_unlock(&plan_lock);
	return ret;
}

/* Makes room for @size bytes behind the plan. */
static int reserve_plan(size_t size)
{
	size_t used = plan_end - plan_next, grown;
	char *larger = plan;

	if (size < plan + plan_size - plan_end)
		return 0;
	if (used + size >= plan_size) {
		grown = max(2 * plan_size, used + size + 1);
		larger = vmalloc(grown);
		if (!larger)
			return -ENOMEM;
		plan_size = grown;
	}
	memmove(larger, plan_next, used);
	plan_next = larger;
	plan_end = larger + used;
	if (larger != plan)
		vfree(plan);
	plan = larger;
	return 0;
}

static ssize_t cases_write(struct file *file, const char __user *buf,
			   size_t size, loff_t *pos)
{
	const char *at;
	ssize_t ret;

	ret = mutex_lock_interruptible(&plan_lock);
	if (ret)
		return ret;
	ret = reserve_plan(size);
	if (!ret && copy_from_user(plan_end, buf, size))
		ret = -EFAULT;
	if (!ret) {
		for (at = plan_end; at < plan_end + size; at++)
			plan_lines += *at == '\n';
		plan_end += size;
		complete(&plan_grown);
		ret = size;
	}
	mutex_unlock(&plan_lock);
	return ret;
}

static const struct file_operations cases_fops = {
	.owner = THIS_MODULE,
	.open = cases_open,
	.read = cases_read,
	.write = cases_write,
};

static int __init create_file(const char *name, struct completion *grown)
{
	return compat_debugfs_error(debugfs_create_file(name, 0600, plan_folder,
							grown, &cases_fops));
}

static int __init create_files(void)
{
	int err;

	plan_folder = debugfs_create_dir("jprobe-harness", NULL);
	err = compat_debugfs_error(plan_folder);
	if (err)
		return err;
	err = create_file("cases", NULL);
	if (!err)
		err = create_file("stream", &plan_grown);
	if (!err)
		err = probe_real_init(plan_folder);
	if (!err)
		err = probe_redirect_init(plan_folder);
	if (err)
		debugfs_remove_recursive(plan_folder);
	return err;
}

static int __init probe_targets_init(void)
{
	int err;

	plan = vmalloc(PLAN_SIZE);
	if (!plan)
		return -ENOMEM;
	plan_next = plan;
	plan_end = plan;
	plan_size = PLAN_SIZE;
	err = probe_record_alloc();
	if (err)
		goto free_plan;
	err = probe_contexts_init();
	if (err)
		goto free_record;
	probe_record_begin();
	probe_put(RECORD_GUEST, THREAD_SIZE, IRQ_STACK_SIZE, probe_case_count);
	probe_put_text(utsname()->release);
	probe_put_end();
	kmsg_dump_rewind(&log_seen);
	log_grew();
	err = create_files();
	if (err)
		goto end_contexts;
	return 0;

end_contexts:
	probe_contexts_exit();
free_record:
	probe_record_free();
free_plan:
	vfree(plan);
	return err;
}

static void __exit probe_targets_exit(void)
{
	unsigned int i;

	debugfs_remove_recursive(plan_folder);
	probe_redirect_exit();
	for (i = 0; i < probe_case_count; i++)
		if (probe_cases[i].registered)
			unregister_policy_jprobe(&probe_cases[i].jp);
	if (probe_nested.registered)
		unregister_policy_jprobe(&probe_nested.jp);
	if (probe_assembled.registered)
		unregister_policy_jprobe(&probe_assembled.jp);
	probe_contexts_exit();
	probe_record_free();
	vfree(plan);
}

module_init(probe_targets_init);
module_exit(probe_targets_exit);
MODULE_DESCRIPTION("functions to probe, and the cases that probe them");
MODULE_LICENSE("GPL");
