/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_ASM_ERRNO_H
#define OLDEST_ASM_ERRNO_H

#define ENXIO	6
#define E2BIG	7
#define ENOMEM	12
#define EFAULT	14
#define EINVAL	22
#define ENOSPC	28

#endif
