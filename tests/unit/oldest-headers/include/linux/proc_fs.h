/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_PROC_FS_H
#define OLDEST_LINUX_PROC_FS_H

#include <linux/types.h>

struct file_operations;
struct proc_dir_entry;

struct proc_dir_entry *proc_create_data(const char *name, umode_t mode,
					struct proc_dir_entry *parent,
					const struct file_operations *fops, void *data);
void remove_proc_entry(const char *name, struct proc_dir_entry *parent);

static inline struct proc_dir_entry *proc_create(const char *name, umode_t mode,
						 struct proc_dir_entry *parent,
						 const struct file_operations *fops)
{
	return proc_create_data(name, mode, parent, fops, NULL);
}

#endif
