/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_ERRNO_H
#define OLDEST_LINUX_ERRNO_H

#include <asm/errno.h>

#endif
