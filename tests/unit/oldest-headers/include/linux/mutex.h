/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_MUTEX_H
#define OLDEST_LINUX_MUTEX_H

struct mutex {
	int count;
};

#define DEFINE_MUTEX(name)	struct mutex name = { 1 }

void mutex_lock(struct mutex *lock);
int mutex_lock_interruptible(struct mutex *lock);
void mutex_unlock(struct mutex *lock);

#endif
