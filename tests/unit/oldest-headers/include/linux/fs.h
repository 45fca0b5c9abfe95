/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_FS_H
#define OLDEST_LINUX_FS_H

#include <linux/types.h>

struct module;

struct file {
	void *private_data;
};

struct inode {
	void *i_private;
};

struct file_operations {
	struct module *owner;
	int (*open)(struct inode *inode, struct file *file);
	ssize_t (*read)(struct file *file, char __user *buf, size_t size, loff_t *pos);
	ssize_t (*write)(struct file *file, const char __user *buf, size_t size, loff_t *pos);
};

int nonseekable_open(struct inode *inode, struct file *file);
ssize_t simple_read_from_buffer(void __user *to, size_t count, loff_t *pos, const void *from,
				size_t available);

#endif
