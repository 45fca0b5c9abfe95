/* SPDX-License-Identifier: GPL-2.0 */
/* Before v5.6, a file in /proc had struct file_operations. */
#include <linux/fs.h>
#include <linux/proc_fs.h>

#define proc_ops	file_operations
#define proc_read	read
#define proc_write	write
