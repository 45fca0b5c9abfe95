/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_UTSNAME_H
#define OLDEST_LINUX_UTSNAME_H

struct new_utsname {
	char release[65];
};

struct new_utsname *utsname(void);

#endif
