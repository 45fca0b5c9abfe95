/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_FS_H
#define OLDEST_LINUX_FS_H

#include <linux/types.h>

struct file;

struct file_operations {
	ssize_t (*read)(struct file *file, char __user *buf, size_t size, loff_t *pos);
	ssize_t (*write)(struct file *file, const char __user *buf, size_t size, loff_t *pos);
};

ssize_t simple_read_from_buffer(void __user *to, size_t count, loff_t *pos, const void *from,
				size_t available);

#endif
