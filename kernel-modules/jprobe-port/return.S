/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Leaves a jprobe's handler.
 */
#include <linux/linkage.h>

/*
 * void __noreturn jprobe_return_to(unsigned long sp, unsigned long fp)
 *
 * An exception return does not load SP at EL1, so it is moved here; and FP, as the
 * frame record that it points at is then below SP.
 */
SYM_FUNC_START(jprobe_return_to)
	mov	x29, x1
	mov	sp, x0
SYM_INNER_LABEL(jprobe_return_trap, SYM_L_GLOBAL)
	nop
	brk	#0x800
SYM_FUNC_END(jprobe_return_to)
