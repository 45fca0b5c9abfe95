/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_MODULE_H
#define OLDEST_LINUX_MODULE_H

#include <linux/err.h>
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

struct module;
extern struct module __this_module;
#define THIS_MODULE	(&__this_module)

void *__symbol_get(const char *name);
void __symbol_put(const char *name);

#define module_init(function)	int init_module(void) __attribute__((alias(#function)));
#define module_exit(function)	void cleanup_module(void) __attribute__((alias(#function)));
#define MODULE_DESCRIPTION(text)
#define MODULE_LICENSE(text)

#endif
