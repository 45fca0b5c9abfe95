/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_ASM_STACKTRACE_H
#define OLDEST_ASM_STACKTRACE_H

struct stackframe;

#endif
