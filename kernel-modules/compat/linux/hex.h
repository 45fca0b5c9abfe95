/* SPDX-License-Identifier: GPL-2.0 */
/* Kernels without this header have hex2bin() in <linux/kernel.h>. */
#include <linux/kernel.h>
