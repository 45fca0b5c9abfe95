/* SPDX-License-Identifier: GPL-2.0 */
/* Before v4.14. */
#include <linux/smp.h>

#define call_single_data_t	struct call_single_data
