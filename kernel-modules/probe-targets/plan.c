// SPDX-License-Identifier: GPL-2.0
/*
 * Takes plans and plays them.
 *
 * In debugfs, jprobe-harness/cases takes a plan, one "CASE POLICY SIZE" a line, and
 * gives a record for each: every read() plays the next line.  "= POLICY SIZE" is
 * followed by a case as data, see probe_assembled_parse(), "~ POLICY SIZE" by
 * the milliseconds of a storm, see probe_storm(), "$ POLICY SIZE" by the calls that
 * probe_cost() makes.  jprobe-harness/played has the number of lines so far.
 */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>

#include "debugfs.h"
#include "inspected.h"
#include "probe_targets.h"
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
	[STACK_POLICY_KERNEL] = "kernel",
};

/* Held while a plan is read or a case is played. */
static DEFINE_MUTEX(plan_lock);
static char *plan, *plan_next;
static size_t plan_size;
static u32 played;
static struct dentry *plan_folder;

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

	probe_observe_begin(pc);
	probe_nested_begin();
	err = probe_call_in(pc->context, pc->call);
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

static void play_next(void)
{
	char *line = strsep(&plan_next, "\n");
	const char *error;

	probe_record_begin();
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
	probe_put_end(played);
}

static ssize_t cases_read(struct file *file, char __user *buf, size_t size,
			  loff_t *pos)
{
	ssize_t ret;

	ret = mutex_lock_interruptible(&plan_lock);
	if (ret)
		return ret;
	if (probe_record_is_read() && plan_next && *plan_next)
		play_next();
	ret = probe_record_read(buf, size);
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

static const struct file_operations cases_fops = {
	.owner = THIS_MODULE,
	.open = nonseekable_open,
	.read = cases_read,
	.write = cases_write,
};

static int __init create_file(void)
{
	struct dentry *file;
	int err;

	plan_folder = debugfs_create_dir("jprobe-harness", NULL);
	err = compat_debugfs_error(plan_folder);
	if (err)
		return err;
	file = debugfs_create_file("cases", 0600, plan_folder, NULL,
				   &cases_fops);
	err = compat_debugfs_error(file);
	if (err)
		debugfs_remove_recursive(plan_folder);
	else
		debugfs_create_u32("played", 0400, plan_folder, &played);
	return err;
}

static int __init probe_targets_init(void)
{
	int err;

	plan = vzalloc(PLAN_SIZE);
	if (!plan)
		return -ENOMEM;
	plan_size = PLAN_SIZE;
	err = probe_record_alloc();
	if (err)
		goto free_plan;
	probe_put("guest release=%s thread_size=%lu irq_stack_size=%lu cases=%u\n",
		  utsname()->release, (unsigned long)THREAD_SIZE,
		  (unsigned long)IRQ_STACK_SIZE, probe_case_count);
	probe_put_end(0);
	err = create_file();
	if (err)
		goto free_record;
	return 0;

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
	for (i = 0; i < probe_case_count; i++)
		if (probe_cases[i].registered)
			unregister_policy_jprobe(&probe_cases[i].jp);
	if (probe_nested.registered)
		unregister_policy_jprobe(&probe_nested.jp);
	if (probe_assembled.registered)
		unregister_policy_jprobe(&probe_assembled.jp);
	probe_record_free();
	vfree(plan);
}

module_init(probe_targets_init);
module_exit(probe_targets_exit);
MODULE_DESCRIPTION("functions to probe, and the cases that probe them");
MODULE_LICENSE("GPL");
