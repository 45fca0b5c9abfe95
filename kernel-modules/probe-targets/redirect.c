// SPDX-License-Identifier: GPL-2.0
/*
 * Sends calls of the cases' functions elsewhere, as a jprobe did, by ftrace.
 *
 * "1" in jprobe-harness/redirect, in debugfs, sends each case's first call to a
 * function with the same prototype, which calls the case's own; "0" ends that.
 */
#include <linux/debugfs.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/kstrtox.h>
#include <linux/mutex.h>
#include <linux/string.h>

#include "debugfs.h"
#include "inspected.h"
#include "probe_targets.h"

/* Held while a redirect begins or ends. */
static DEFINE_MUTEX(redirect_lock);
static bool redirecting, redirected;

#ifdef CONFIG_DYNAMIC_FTRACE
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
#define REDIRECT_FLAGS	FTRACE_OPS_FL_IPMODIFY

static void send_to(struct ftrace_regs *fregs, void *to)
{
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)to);
}
#else
#define REDIRECT_FLAGS	(FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_SAVE_REGS)

#ifdef COMPAT_NO_FTRACE_REGS
#define ftrace_regs		pt_regs
#define ftrace_get_regs(fregs)	(fregs)
#endif

static void send_to(struct ftrace_regs *fregs, void *to)
{
	instruction_pointer_set(ftrace_get_regs(fregs), (unsigned long)to);
}
#endif

static void notrace redirect(unsigned long ip, unsigned long parent_ip,
			     struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	/* The function it is sent to calls the case's own. */
	if (redirected)
		return;
	redirected = true;
	send_to(fregs, probe_twins[probe_playing - probe_cases]);
}

static struct ftrace_ops redirect_ops = {
	.func = redirect,
	.flags = REDIRECT_FLAGS,
};

static int begin(void)
{
	int err;

	err = ftrace_set_filter(&redirect_ops, probe_functions,
				strlen(probe_functions), 1);
	return err ?: register_ftrace_function(&redirect_ops);
}

static int end(void)
{
	int err;

	err = unregister_ftrace_function(&redirect_ops);
	/* Free what the filter has allocated. */
	return err ?: ftrace_set_filter(&redirect_ops, NULL, 0, 1);
}
#else
static int begin(void)
{
	return -EOPNOTSUPP;
}

static int end(void)
{
	return 0;
}
#endif

/* Of two calls, the case is about the first. */
static bool first_call(struct policy_jprobe *jp, const struct pt_regs *regs)
{
	return !redirected;
}

NOKPROBE_SYMBOL(first_call);

/**
 * probe_redirect_begin - send the next call elsewhere, if any
 * @pc: the case that is called
 */
void probe_redirect_begin(struct probe_case *pc)
{
	redirected = false;
	if (!pc->real)
		pc->jp.wanted = first_call;
}

static ssize_t redirect_write(struct file *file, const char __user *buf,
			      size_t size, loff_t *pos)
{
	bool wanted;
	int err;

	err = kstrtobool_from_user(buf, size, &wanted);
	if (err)
		return err;
	mutex_lock(&redirect_lock);
	if (wanted != redirecting)
		err = wanted ? begin() : end();
	if (!err)
		redirecting = wanted;
	mutex_unlock(&redirect_lock);
	return err ?: size;
}

static const struct file_operations redirect_fops = {
	.owner = THIS_MODULE,
	.write = redirect_write,
};

/**
 * probe_redirect_init - make the file that redirects
 * @folder: where
 *
 * Also has BPF programs change what the cases' functions return.
 *
 * Return: 0, or an error.
 */
int probe_redirect_init(struct dentry *folder)
{
	int err;

	err = compat_debugfs_error(debugfs_create_file("redirect", 0200, folder,
						       NULL, &redirect_fops));
	if (!err)
		probe_modifiable_register();
	return err;
}

void probe_redirect_exit(void)
{
	if (redirecting)
		end();
	probe_modifiable_free();
}
