/* SPDX-License-Identifier: GPL-2.0 */
/* Before v6.4, <linux/kernel.h> has hex2bin(). */
#include <linux/kernel.h>
