/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_ASM_BYTEORDER_H
#define OLDEST_ASM_BYTEORDER_H

#include <linux/types.h>

typedef u32 __le32;
typedef u64 __le64;

#define cpu_to_le32(x)	((__le32)(x))
#define cpu_to_le64(x)	((__le64)(x))

#endif
