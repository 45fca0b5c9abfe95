/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_DEBUGFS_H
#define OLDEST_LINUX_DEBUGFS_H

#include <linux/types.h>

struct dentry;
struct file_operations;

struct dentry *debugfs_create_dir(const char *name, struct dentry *parent);
struct dentry *debugfs_create_file(const char *name, umode_t mode, struct dentry *parent,
				   void *data, const struct file_operations *fops);
void debugfs_remove_recursive(struct dentry *dentry);

#endif
