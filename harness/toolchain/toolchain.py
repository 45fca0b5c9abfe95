# SPDX-License-Identifier: GPL-2.0-only
"""A compiler, and the machine or build root that it and a kernel's own tools run on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.archive import buildroot, plain
from harness.archive.apt import Progress
from harness.archive.buildroot import BuildRoot
from harness.errors import InfrastructureError
from harness.host import blame, cache, tool
from harness.toolchain.compiler import CROSS_COMPILE, GCC, Compiler

_ZERO = ("-ftrivial-auto-var-init=zero",)
_ZERO_ENABLER = ("-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang",)
# By the option of a configuration that stands for them: flags that not every compiler knows.
_FLAGS = {
    "CONFIG_INIT_STACK_ALL_ZERO": _ZERO,
    "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT": ("-fmin-function-alignment=8",),
    "CONFIG_ZERO_CALL_USED_REGS": ("-fzero-call-used-regs=used-gpr",),
    "CONFIG_UBSAN_BOUNDS_STRICT": ("-fsanitize=bounds-strict",),
}


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
        """Do what takes long now, with a report; a damaged root is made anew."""
        if self.root:
            self.root.mend(report)

    def run(
        self,
        words: Sequence[str | Path],
        *,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        seconds: float = tool.SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a program, which calls folders by their plain.name().

        In a build root it sees only those that are named here.
        """
        if self.root:
            folder = self.root.make()
            words = buildroot.command(folder, words, readable=readable, writable=writable)
            with cache.using(*cache.containing(folder)):
                return tool.run(words, seconds=seconds)
        return tool.run(plain.command(words, [*readable, *writable]), seconds=seconds)

    @property
    def version(self) -> str:
        """The compiler as it names itself."""
        return self.told_by(self.compiler.program)

    def told_by(self, program: str) -> str:
        """What one of its programs calls itself, with its version."""
        done = self.run([program, "--version"])
        if done.returncode:
            blame.check(f"The program {program}", done.returncode, done.stderr)
            raise InfrastructureError(
                f"{program} does not tell its version: {done.stderr.strip()[-300:]}.", tool.DOCTOR
            )
        return done.stdout.partition("\n")[0]

    def knows(self, *flags: str) -> bool:
        """Whether the compiler takes some flags."""
        return self._compile_nothing(Path(os.devnull), *flags).returncode == 0

    def check(self, folder: Path) -> None:
        """Raise InfrastructureError where the compiler cannot even make an empty object there."""
        done = self._compile_nothing(folder / "control.o")
        if done.returncode:
            raise InfrastructureError(
                f"The compiler {self.compiler.program} does not compile an empty file:"
                f" {blame.first_error(done.stderr)}.",
                tool.DOCTOR,
            )

    def _compile_nothing(self, output: Path, *flags: str) -> subprocess.CompletedProcess[str]:
        """Raises InfrastructureError where this machine keeps the compiler from it."""
        program = self.compiler.program
        command: list[str | Path]
        command = [program, *flags, "-x", "c", "-c", os.devnull, "-o", plain.name(output)]
        if self.compiler.clang:
            command.insert(1, "--target=aarch64-linux-gnu")
        done = self.run(command, writable=[] if output.is_char_device() else [output.parent])
        blame.check(f"The compiler {program}", done.returncode, done.stderr)
        return done

    @property
    def make_variables(self) -> dict[str, str]:
        """
        For the kernel's own build of modules, whichever compiler the kernel was built with.

        A variable on the command line overrides what the kernel's configuration
        says of its compiler, so that the build chooses flags that this one knows.
        """
        clang = self.compiler.clang
        variables = {
            "CC": self.compiler.program,
            "CONFIG_CC_IS_GCC": "" if clang else "y",
            "CONFIG_CC_IS_CLANG": "y" if clang else "",
            # Objects that a linker has still to compile are none whose stores can be proved.
            "CONFIG_LTO": "",
            "CONFIG_LTO_CLANG": "",
        }
        if clang:
            # The kernel was configured with GNU as.
            variables["LLVM_IAS"] = "0"
        for option, flags in _FLAGS.items():
            if not self.knows(*flags):
                variables[option] = ""
        if "CONFIG_INIT_STACK_ALL_ZERO" in variables and self.knows(*_ZERO, *_ZERO_ENABLER):
            # clang 15 and older.
            del variables["CONFIG_INIT_STACK_ALL_ZERO"]
            variables["CONFIG_CC_HAS_AUTO_VAR_INIT_ZERO_ENABLER"] = "y"
        return variables


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
