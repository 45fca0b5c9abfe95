/* SPDX-License-Identifier: GPL-2.0 */
/* Before v4.11, <linux/sched.h> has get_task_struct(). */
#include <linux/sched.h>
