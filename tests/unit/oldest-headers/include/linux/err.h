/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_ERR_H
#define OLDEST_LINUX_ERR_H

#include <linux/types.h>
#include <asm/errno.h>

#define IS_ERR(ptr)	((unsigned long)(ptr) >= (unsigned long)-4095)
#define PTR_ERR(ptr)	((long)(ptr))
#define PTR_ERR_OR_ZERO(ptr)	(IS_ERR(ptr) ? (int)PTR_ERR(ptr) : 0)

#endif
