/* SPDX-License-Identifier: GPL-2.0 */
/* Before v5.9, a tasklet's function was called with a number. */
#include <linux/interrupt.h>

static inline void tasklet_setup(struct tasklet_struct *tasklet,
				 void (*callback)(struct tasklet_struct *))
{
	tasklet_init(tasklet, (void (*)(unsigned long))callback,
		     (unsigned long)tasklet);
}
