/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_SIZES_H
#define OLDEST_LINUX_SIZES_H

#define SZ_16K	0x00004000
#define SZ_64K	0x00010000
#define SZ_128K	0x00020000

#endif
