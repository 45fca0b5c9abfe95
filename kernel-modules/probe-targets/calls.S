/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls that a compiler would not make.
 */
#include <linux/linkage.h>

/*
 * void probe_call_at_top(void (*call)(void), void *top, void *save)
 *
 * Calls @call with SP at @top, the end of this stack.  The frames that the call
 * overwrites are kept in @save, which has PROBE_SAVE_SIZE bytes.
 */
SYM_FUNC_START(probe_call_at_top)
	stp	x29, x30, [sp, #-48]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	mov	x19, sp
	mov	x20, x1
	mov	x21, x2
	mov	x22, x0

	mov	x0, x21
	mov	x1, x19
	sub	x2, x20, x19
	bl	probe_keep_frames

	/* A backtrace ends here. */
	mov	x29, xzr
	mov	sp, x20
	blr	x22
	mov	sp, x19

	mov	x0, x21
	mov	x1, x19
	sub	x2, x20, x19
	bl	probe_put_frames_back

	ldp	x21, x22, [sp, #32]
	ldp	x19, x20, [sp, #16]
	ldp	x29, x30, [sp], #48
	ret
SYM_FUNC_END(probe_call_at_top)

/*
 * void probe_assembled_call(size_t size)
 *
 * Calls probe_assembled_target() from a frame of @size bytes and with the
 * registers that probe_assembled_place() gives: x0-x7, x29.
 */
SYM_FUNC_START(probe_assembled_call)
	stp	x29, x30, [sp, #-32]!
	str	x19, [sp, #16]
	mov	x19, sp
	mov	x29, sp
	sub	sp, sp, x0

	mov	x0, sp
	bl	probe_assembled_place
	mov	x8, x0
	ldp	x0, x1, [x8]
	ldp	x2, x3, [x8, #16]
	ldp	x4, x5, [x8, #32]
	ldp	x6, x7, [x8, #48]
	ldr	x29, [x8, #64]
	bl	probe_assembled_target

	mov	sp, x19
	ldr	x19, [sp, #16]
	ldp	x29, x30, [sp], #32
	ret
SYM_FUNC_END(probe_assembled_call)

/*
 * The function that each case with an invalid frame pointer calls in place of the
 * probed one, and with its arguments: calls that with a frame pointer that points
 * nowhere.  The stacked arguments must stay where they are, so the frame record is
 * kept in static memory.
 */
SYM_FUNC_START(probe_invalid_fp_entry)
	adrp	x16, invalid_fp_frame
	add	x16, x16, :lo12:invalid_fp_frame
	stp	x29, x30, [x16]
	adrp	x16, probe_invalid_fp_target
	ldr	x16, [x16, :lo12:probe_invalid_fp_target]
	mov	x29, #0x10
	blr	x16
	adrp	x16, invalid_fp_frame
	add	x16, x16, :lo12:invalid_fp_frame
	ldp	x29, x30, [x16]
	ret
SYM_FUNC_END(probe_invalid_fp_entry)

	.bss
	.balign	16
invalid_fp_frame:
	.skip	16
	.text

/* Calls \function with the address of x0-x7 in memory and SP at entry. */
	.macro	report, function
	stp	x29, x30, [sp, #-80]!
	mov	x29, sp
	stp	x0, x1, [sp, #16]
	stp	x2, x3, [sp, #32]
	stp	x4, x5, [sp, #48]
	stp	x6, x7, [sp, #64]
	add	x0, sp, #16
	add	x1, sp, #80
	bl	\function
	ldp	x29, x30, [sp], #80
	ret
	.endm

SYM_FUNC_START(probe_assembled_target)
	report	probe_assembled_seen
SYM_FUNC_END(probe_assembled_target)

/* probe_assembled_handle() ends in jprobe_return(). */
SYM_FUNC_START(probe_assembled_handler)
	report	probe_assembled_handle
SYM_FUNC_END(probe_assembled_handler)
