# SPDX-License-Identifier: GPL-2.0-only
"""The user's options for a kernel, besides its spec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.model.policy import NO_CHANGES, Changes
from harness.toolchain.compiler import GCC, Compiler

if TYPE_CHECKING:
    from harness.kernel.native import Carried


@dataclass(frozen=True)
class Options:
    """The options that decide how a kernel is found, built and run."""

    # Whether to ask the archive for a newer kernel.
    refresh: bool = False
    # Compiles the modules, and a kernel that is built here.
    compiler: Compiler = GCC
    # The folder in which modules for an image are built.
    modules_build: Path | None = None
    # The defconfig that a tree's configuration starts from; if empty, all options start off.
    defconfig: str = ""
    # Kconfig fragments for a tree.
    fragments: tuple[Path, ...] = ()
    # Whether a tree is built with the types of its functions, which takes longer.
    debug_info: bool = False
    # The stack policies that a tree with jprobes of its own is built with.
    carried: Carried = "any"
    # The guest's memory in MiB; None for an estimate from the kernel.
    memory_mib: int | None = None
    # How long the guest may take to boot, in seconds; None for the default.
    boot_seconds: float | None = None
    # Whether each guest is booted, in place of a clone of one that has booted.
    cold: bool = False
    # Changes that are made to a tree before it is built.
    changes: Changes = NO_CHANGES
    # NAME=VALUE for make, as make.checked() returns them.
    make: tuple[str, ...] = ()


DEFAULTS = Options()
