# SPDX-License-Identifier: GPL-2.0-only
"""Small stand-ins for kernel trees, written for these tests."""

from __future__ import annotations

import os
import threading
from pathlib import Path

# Configures and "builds" as far as harness/kernel/treebuild.py can see.
_MAKEFILE = """\
VERSION = {version}
PATCHLEVEL = {patchlevel}

allnoconfig:
	@if [ -e $(CURDIR)/broken-kconfig ]; then echo "Kconfig:7: syntax error" >&2; exit 1; fi
	@grep -v CONFIG_UNKNOWN $(KCONFIG_ALLCONFIG) > $(O)/.config

# A pattern does not match nothing.
defconfig:
	@cp $(CURDIR)/arch/arm64/configs/$@ $(O)/.config

%_defconfig:
	@cp $(CURDIR)/arch/arm64/configs/$@ $(O)/.config

olddefconfig:
	@sed -i /CONFIG_UNKNOWN/d $(O)/.config

Image modules: built

built:
	@echo "  CC      kernel/kprobes.o"
	@if grep -q '#error' $(CURDIR)/kernel/kprobes.c; then \\
		echo "kernel/kprobes.c:1:2: error: #error broken on purpose" >&2; \\
		echo "kernel/other.c:9:9: error: a later one" >&2; exit 2; fi
	@mkdir -p $(O)/arch/arm64/boot $(O)/include/config
	@echo {version}.{patchlevel}.0 > $(O)/include/config/kernel.release
	@printf '%56s' > $(O)/arch/arm64/boot/Image
	@printf 'ARM\\144' >> $(O)/arch/arm64/boot/Image
	@echo $(CURDIR) >> $(O)/builds
"""


def source_tree(path: Path, version: str) -> Path:
    """Make the least that counts as a tree of Linux for arm64, and return its path."""
    major, minor = version.split(".")
    files = {
        "Makefile": _MAKEFILE.format(version=major, patchlevel=minor),
        "Kconfig": "# stand-in\n",
        "kernel/kprobes.c": "/* stand-in */\n",
        "arch/arm64/Makefile": "# stand-in\n",
    }
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


# Three states of arm64 jprobes, in our own words: as merged into v4.8, with a
# copy of the stack as posted, and as early versions of the series were.
REMOVED = """\
#include <linux/kernel.h>
#include <linux/kprobes.h>

int __kprobes setjmp_pre_handler(struct kprobe *p, struct pt_regs *regs)
{
	struct kprobe_ctlblk *ctl = get_kprobe_ctlblk();
	struct jprobe *jp = container_of(p, struct jprobe, kp);

	ctl->jprobe_saved_regs = *regs;
	/* No part of the stack is kept. */
	instruction_pointer_set(regs, (unsigned long)jp->entry);
	preempt_disable();
	return 1;
}

int __kprobes longjmp_break_handler(struct kprobe *p, struct pt_regs *regs)
{
	struct kprobe_ctlblk *ctl = get_kprobe_ctlblk();

	if (instruction_pointer(regs) != (u64)return_break)
		return 0;
	*regs = ctl->jprobe_saved_regs;
	preempt_enable_no_resched();
	return 1;
}
"""

COPYING = """\
#include <linux/kernel.h>
#include <linux/kprobes.h>

static inline unsigned long depth(unsigned long sp)
{
	return min_t(unsigned long, MAX_STACK_SIZE, stack_end() - sp);
}

int __kprobes setjmp_pre_handler(struct kprobe *p, struct pt_regs *regs)
{
	struct kprobe_ctlblk *ctl = get_kprobe_ctlblk();
	struct jprobe *jp = container_of(p, struct jprobe, kp);
	long sp = kernel_stack_pointer(regs);

	ctl->jprobe_saved_regs = *regs;
	memcpy(ctl->jprobes_stack, (void *)sp,
			depth(sp));
	instruction_pointer_set(regs, (unsigned long)jp->entry);
	preempt_disable();
	return 1;
}

int __kprobes longjmp_break_handler(struct kprobe *p, struct pt_regs *regs)
{
	struct kprobe_ctlblk *ctl = get_kprobe_ctlblk();
	long sp = ctl->jprobe_saved_regs.sp;

	if (instruction_pointer(regs) != (u64)return_break)
		return 0;
	*regs = ctl->jprobe_saved_regs;
	memcpy((void *)sp, ctl->jprobes_stack, depth(sp));
	preempt_enable_no_resched();
	return 1;
}
"""

EARLY = """\
#include <linux/kernel.h>
#include <linux/kprobes.h>

#define DEPTH(sp) min((unsigned long)MAX_STACK_SIZE, stack_end() - (sp))

int __kprobes setjmp_pre_handler(struct kprobe *p, struct pt_regs *regs)
{
	struct kprobe_ctlblk *ctl = get_kprobe_ctlblk();
	struct jprobe *jp = container_of(p, struct jprobe, kp);
	long sp = kernel_stack_pointer(regs);

	memcpy(&ctl->jprobe_saved_regs, regs, sizeof(struct pt_regs));
	memcpy(ctl->jprobes_stack, (void *)sp, DEPTH(sp));
	instruction_pointer(regs) = (long)jp->entry;
	preempt_disable();
	return 1;
}

int __kprobes longjmp_break_handler(struct kprobe *p, struct pt_regs *regs)
{
	struct kprobe_ctlblk *ctl = get_kprobe_ctlblk();
	long sp = ctl->jprobe_saved_regs.sp;

	if (regs->regs[0] == MAGIC) {
		memcpy(regs, &ctl->jprobe_saved_regs, sizeof(*regs));
		memcpy((void *)sp, ctl->jprobes_stack, DEPTH(sp));
		preempt_enable_no_resched();
		return 1;
	}
	return 0;
}
"""

_DECLARED = "int register_jprobe(struct jprobe *p);\n"
NEW_LAYOUT = "arch/arm64/kernel/probes/kprobes.c"
OLD_LAYOUT = "arch/arm64/kernel/kprobes.c"


def jprobe_tree(
    path: Path, version: str, kprobes: str, *, file: str = NEW_LAYOUT, header: str = ""
) -> Path:
    """Make a tree with jprobes of its own, and return its path."""
    source_tree(path, version)
    files = {
        "include/linux/kprobes.h": _DECLARED,
        "arch/arm64/include/asm/kprobes.h": header,
        file: kprobes,
        str(Path(file).parent / "Makefile"): "obj-y += kprobes.o\n",
    }
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def pipe(folder: Path, text: str) -> Path:
    """Make a pipe that can be read once, like the shell's <(command), and return its path."""
    path = folder / "pipe"
    os.mkfifo(path)
    threading.Thread(target=path.write_text, args=(text,), daemon=True).start()
    return path
