/* SPDX-License-Identifier: GPL-2.0 */
/* Before v4.11, <linux/sched.h> has task_stack_page(). */
#include <linux/sched.h>
