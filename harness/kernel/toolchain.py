# SPDX-License-Identifier: GPL-2.0-only
"""A compiler, and the machine or build root that it and a kernel's own tools run on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import tool
from harness.kernel import buildroot
from harness.kernel.apt import Progress
from harness.kernel.buildroot import BuildRoot
from harness.kernel.compiler import CROSS_COMPILE, GCC, Compiler


@dataclass(frozen=True)
class Toolchain:
    """What builds for one kernel."""

    compiler: Compiler
    # None: this machine.
    root: BuildRoot | None = None

    @property
    def stamp(self) -> str:
        """Tells toolchains apart without running one."""
        return f"{self.root.key} {self.compiler.program}" if self.root else self.compiler.stamp

    def prepare(self, report: Progress) -> None:
        """Do what takes long now, with a report."""
        if self.root:
            self.root.make(report)

    def run(
        self,
        words: Sequence[str | Path],
        *,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        seconds: float = tool.SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program, which in a build root sees only the folders that are named."""
        if self.root:
            folder = self.root.make()
            words = buildroot.command(folder, words, readable=readable, writable=writable)
        return tool.run(words, seconds=seconds)

    @property
    def version(self) -> str:
        """The compiler as it names itself."""
        return self.run([self.compiler.program, "--version"]).stdout.partition("\n")[0]

    @property
    def make_variables(self) -> dict[str, str]:
        """
        For the kernel's own build of modules, whichever compiler the kernel was built with.

        A variable on the command line overrides what the kernel's configuration
        says of its compiler, so that the build chooses flags that this one knows.
        """
        program = self.compiler.program
        if not self.compiler.clang:
            return {"CC": program, "CONFIG_CC_IS_GCC": "y", "CONFIG_CC_IS_CLANG": ""}
        zero = "-ftrivial-auto-var-init=zero"
        probe = [program, zero, "-x", "c", "-c", os.devnull, "-o", os.devnull]
        return {
            "CC": program,
            "CONFIG_CC_IS_GCC": "",
            "CONFIG_CC_IS_CLANG": "y",
            # clang 15 and older refuse the option without another one.
            "CONFIG_CC_HAS_AUTO_VAR_INIT_ZERO_ENABLER": "y" if self.run(probe).returncode else "",
            # The kernel was configured with GNU as.
            "LLVM_IAS": "0",
        }


def in_root(wanted: Compiler, root: BuildRoot, own: str) -> Toolchain:
    """
    A compiler's toolchain in a root, which gets the packages that it needs.

    `own` is the kernel's own compiler, "gcc-16", which stands for the default one.
    """
    compiler = Compiler(f"{CROSS_COMPILE}{own}") if wanted == GCC else wanted
    name = compiler.program.removeprefix(CROSS_COMPILE)
    package = name if compiler.clang else f"{name}-aarch64-linux-gnu"
    packages = ("make", "binutils-aarch64-linux-gnu", package, *root.packages)
    return Toolchain(compiler, replace(root, packages=packages))
