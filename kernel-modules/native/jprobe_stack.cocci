// SPDX-License-Identifier: GPL-2.0
/// Make a kernel's own jprobes follow a stack policy (jprobe_stack.h).
///
/// Serves every arm64 kernel that has jprobes, wherever its kprobes.c lies and
/// whether or not it copies a part of the stack; its own copying is removed.
// Options: --no-includes

@include@
@@
 #include <linux/kprobes.h>
+#include "jprobe_stack.h"

@no_copy_at_hit@
expression to, from, size;
identifier p, regs;
@@
 int setjmp_pre_handler(struct kprobe *p, struct pt_regs *regs)
 {
 <...
-memcpy(to->jprobes_stack, from, size);
 ...>
 }

@no_copy_at_return@
expression to, from, size;
identifier p, regs;
@@
 int longjmp_break_handler(struct kprobe *p, struct pt_regs *regs)
 {
 <...
-memcpy(to, from->jprobes_stack, size);
 ...>
 }

@save@
expression kcb;
identifier p, regs;
@@
 int setjmp_pre_handler(struct kprobe *p, struct pt_regs *regs)
 {
 <...
(
 kcb->jprobe_saved_regs = *regs;
+if (!jprobe_stack_save(regs))
+	return 0;
|
 memcpy(&kcb->jprobe_saved_regs, regs, ...);
+if (!jprobe_stack_save(regs))
+	return 0;
)
 ...>
 }

@restore@
expression kcb;
identifier p, regs;
@@
 int longjmp_break_handler(struct kprobe *p, struct pt_regs *regs)
 {
 <...
(
 *regs = kcb->jprobe_saved_regs;
+jprobe_stack_restore(regs);
|
 memcpy(regs, &kcb->jprobe_saved_regs, ...);
+jprobe_stack_restore(regs);
)
 ...>
 }
