/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_CRC32_H
#define OLDEST_LINUX_CRC32_H

#include <linux/types.h>

u32 crc32_le(u32 crc, unsigned char const *p, size_t size);

#endif
