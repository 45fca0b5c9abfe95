/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_ASM_MEMORY_H
#define OLDEST_ASM_MEMORY_H

#include <linux/types.h>

#endif
