/* SPDX-License-Identifier: GPL-2.0 */
/* Kernels without this header have its functions in <linux/kernel.h>. */
#include <linux/kernel.h>
