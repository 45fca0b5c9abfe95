/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_UACCESS_H
#define OLDEST_LINUX_UACCESS_H

#include <linux/compiler.h>
#include <linux/types.h>

unsigned long __copy_from_user(void *to, const void __user *from, unsigned long size);
unsigned long __copy_to_user(void __user *to, const void *from, unsigned long size);
#define copy_from_user(to, from, size)	__copy_from_user(to, from, size)
#define copy_to_user(to, from, size)	__copy_to_user(to, from, size)

#endif
