/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_BUG_H
#define OLDEST_LINUX_BUG_H

void warn_slowpath_null(const char *file, const int line);

#define WARN_ON_ONCE(condition) ({				\
	int __failed = !!(condition);				\
	if (__failed)						\
		warn_slowpath_null(__FILE__, __LINE__);		\
	__failed;						\
})

#endif
