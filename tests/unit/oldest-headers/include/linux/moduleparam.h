/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_MODULEPARAM_H
#define OLDEST_LINUX_MODULEPARAM_H

#include <linux/types.h>

extern const int param_ops_bool, param_ops_charp;
#define module_param(name, type, mode) \
	static const int *const __attribute__((used)) __param_##name = &param_ops_##type;
#define MODULE_PARM_DESC(name, text)

#endif
