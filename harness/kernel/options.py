# SPDX-License-Identifier: GPL-2.0-only
"""What the user says of a kernel beside its spec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.kernel.native import Carried
from harness.model.policy import NO_CHANGES, Changes
from harness.toolchain.compiler import GCC, Compiler


@dataclass(frozen=True)
class Options:
    """All of it; the defaults are what holds where nothing is said."""

    # Ask the archive for a newer kernel.
    refresh: bool = False
    # Of the modules, and of a kernel that is built.
    compiler: Compiler = GCC
    # Where modules for an image are built.
    modules_build: Path | None = None
    # What a tree's configuration starts from; empty: with all off.
    defconfig: str = ""
    # Kconfig fragments for a tree.
    fragments: tuple[Path, ...] = ()
    # What a tree with jprobes of its own is made to do with the stack.
    carried: Carried = "any"
    # The guest's memory, in MiB; None: what the kernel looks like to need.
    memory_mib: int | None = None
    # How long it may take to boot, in seconds; None: what is usual.
    boot_seconds: float | None = None
    # What is done to a tree first.
    changes: Changes = NO_CHANGES
    # NAME=VALUE, as make.checked() has them.
    make: tuple[str, ...] = ()


DEFAULTS = Options()
