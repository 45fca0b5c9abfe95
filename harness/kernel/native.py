# SPDX-License-Identifier: GPL-2.0-only
"""
Trees with jprobes of their own (v4.8 to v4.14, and backports to older ones).

A Coccinelle semantic patch makes a copy of such a tree follow the stack
policies of kernel-modules/stack-policy.  What the tree has is read from its
files, not from its version.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import resources
from harness.archive import plain
from harness.errors import UnfitTree
from harness.host import blame, cache, tool
from harness.kernel import tree
from harness.kernel.tree import Tree
from harness.model.policy import Policy, Rule

# The first release with jprobes for arm64.
FIRST = (4, 8)
SPATCH_SECONDS = 120
PATCH = "native/jprobe_stack.cocci"
# Copied beside the tree's kprobes.c.
_SOURCES = (
    "native/jprobe_stack.c",
    "native/jprobe_stack.h",
    "native/native_stack.h",
    "stack-policy/stack_policy.h",
)
_SHIMS = "compat/linux/sched/task_stack.h"
# In the output folder, so that all policies share one source.
POLICY_HEADER = "include/generated/jprobe_policy.h"

# The policies in an image: "any" for all, chosen at run time; "own" for the tree's own code
# unchanged; or one policy that is compiled in.
Carried = Literal["any", "own"] | Policy


@dataclass(frozen=True)
class Jprobes:
    """The jprobes that a tree has."""

    # The file that defines setjmp_pre_handler(), relative to the tree.
    file: Path
    # Whether they copy a part of the stack, as v15 of the series does and v4.8 does not.
    copies: bool
    # MAX_STACK_SIZE as the tree's header defines it, or None if it is not defined.
    max_stack_size: str | None

    # The bug of v15: on the interrupt stack the copy is limited only by that stack's size.
    overflows: bool = False

    @property
    def policy(self) -> Policy | None:
        """What the tree's own jprobes do, or None where MAX_STACK_SIZE is no plain number."""
        if not self.copies:
            return Policy(Rule.NONE)
        size = (self.max_stack_size or "").strip("()")
        if size == "THREAD_SIZE":
            return Policy(Rule.THREAD_SIZE)
        if not size.isdecimal():
            return None
        return Policy(Rule.V15 if self.overflows else Rule.FIXED, int(size))

    @property
    def state(self) -> str:
        """What the tree's own jprobes do, in words."""
        if not self.copies:
            return "copies nothing of the stack (removed, as in v4.8)"
        older = "" if "probes" in self.file.parts else f", in the older {self.file}"
        return f"copies MAX_STACK_SIZE = {self.max_stack_size} bytes of the stack{older}"


def _function(text: str, name: str) -> str | None:
    """Return a function's text up to its closing brace, or None where it is not defined."""
    match = re.search(
        rf"^[\w\s*]*\b{name}\s*\([^;{{]*\)\s*\{{.*?^\}}", text, re.MULTILINE | re.DOTALL
    )
    return match[0] if match else None


def detect(source: Tree) -> Jprobes | None:
    """Return a tree's own jprobes, or None where it has none that can be used."""
    header = source.path / "include/linux/kprobes.h"
    declared = header.read_text(errors="replace") if header.is_file() else ""
    # v4.15 replaced the function by an inline one that only fails.
    if not re.search(r"^(?:extern )?int register_jprobe\(", declared, re.MULTILINE):
        return None
    for file in sorted((source.path / "arch/arm64/kernel").rglob("*.c")):
        text = file.read_text(errors="replace") if file.is_file() else ""
        if "setjmp_pre_handler" in text and (body := _function(text, "setjmp_pre_handler")):
            return Jprobes(
                file.relative_to(source.path),
                bool(re.search(r"\bmemcpy\s*\(.*jprobes_stack", body, re.DOTALL)),
                _max_stack_size(source, text),
                any(
                    re.search(r"min(?:_t)?\s*\([^;]*?IRQ_STACK_SIZE", t)
                    for t in _texts(source, text)
                ),
            )
    return None


def _texts(source: Tree, text: str) -> list[str]:
    """Return the texts of kprobes.c and of its header."""
    header = source.path / "arch/arm64/include/asm/kprobes.h"
    return [text, header.read_text(errors="replace") if header.is_file() else ""]


def _max_stack_size(source: Tree, text: str) -> str | None:
    for one in _texts(source, text):
        if match := re.search(
            r"^\s*#\s*define\s+MAX_STACK_SIZE\s+(.+?)\s*(?:/\*.*)?$", one, re.MULTILINE
        ):
            return match[1]
    return None


def _own_sources() -> list[bytes]:
    root = resources.kernel_modules()
    names = (*_SOURCES, _SHIMS, PATCH)
    return [Path(__file__).read_bytes(), *((root / name).read_bytes() for name in names)]


def with_policies(source: Tree, jprobes: Jprobes) -> Tree:
    """Return a copy of the tree whose jprobes follow a stack policy; raise UnfitTree."""
    digest = cache.digest(source.digest, *_own_sources())

    def fill(folder: Path) -> None:
        tree.copy(source, folder)
        _apply(folder / jprobes.file)

    return tree.cached(digest, fill)


def _apply(file: Path) -> None:
    """Apply the semantic patch to kprobes.c, and add what it calls."""
    root = resources.kernel_modules()
    for name in _SOURCES:
        shutil.copy(root / name, file.parent)
    shim = file.parent / "linux/sched/task_stack.h"
    shim.parent.mkdir(parents=True)
    shutil.copy(root / _SHIMS, shim)
    with (file.parent / "Makefile").open("a") as makefile:
        makefile.write(
            "\nobj-$(CONFIG_KPROBES) += jprobe_stack.o\n"
            # Searched last, so that a header of the kernel's own is preferred to our shim.
            "CFLAGS_jprobe_stack.o += -idirafter $(srctree)/$(src)\n"
            # Not instrumented, as the modules (Kbuild): the code copies stacks.
            "KASAN_SANITIZE_jprobe_stack.o := n\n"
            "UBSAN_SANITIZE_jprobe_stack.o := n\n"
            "KCOV_INSTRUMENT_jprobe_stack.o := n\n"
        )
    patched = file.with_suffix(".patched")
    script, source, result = (str(plain.name(path)) for path in (root / PATCH, file, patched))
    words = ["spatch", "--very-quiet", "--no-includes", "--sp-file", script, source, "-o", result]
    # spatch passes the files' names to a shell, so they must be plain.
    done = tool.run(plain.command(words, [root, file.parent]), seconds=SPATCH_SECONDS)
    blame.check("spatch", done.returncode, done.stderr, given=[file.parent])
    if done.returncode or not patched.exists():
        raise UnfitTree(
            f"The semantic patch {PATCH} does not apply to {file.name}:"
            f" {done.stderr.strip()[-300:]}."
        )
    check(patched.read_text(errors="replace"), file)
    patched.replace(file)


def check(text: str, file: Path) -> None:
    """Raise UnfitTree where the semantic patch did not change both functions."""
    for name, call in (
        ("setjmp_pre_handler", "jprobe_stack_save("),
        ("longjmp_break_handler", "jprobe_stack_restore("),
    ):
        body = _function(text, name) or ""
        if body.count(call) != 1 or "jprobes_stack," in body:
            raise UnfitTree(
                f"{name}() of {file.name} is not like any that {PATCH} knows.",
                "Extend the semantic patch, with a stand-in for its test.",
            )


def policy_header(carried: Carried) -> str:
    """Return the content of POLICY_HEADER."""
    if not isinstance(carried, Policy):
        return "/* Chosen at run time. */\n"
    kind = f"STACK_POLICY_{carried.rule.name}"
    return f"#define JPROBE_POLICY {{ .kind = {kind}, .size = {carried.size} }}\n"
