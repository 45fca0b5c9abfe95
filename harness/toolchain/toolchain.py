# SPDX-License-Identifier: GPL-2.0-only
"""A compiler, and the machine or build root that it and a kernel's own tools run on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.archive import buildroot, plain
from harness.archive.buildroot import BuildRoot
from harness.errors import InfrastructureError
from harness.host import blame, cache, tool
from harness.toolchain.compiler import CROSS_COMPILE, GCC, Compiler

_ZERO = ("-ftrivial-auto-var-init=zero",)
_ZERO_ENABLER = ("-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang",)
# Flags that not every compiler knows, by the Kconfig option with which a kernel uses them.
_FLAGS = {
    "CONFIG_INIT_STACK_ALL_ZERO": _ZERO,
    "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT": ("-fmin-function-alignment=8",),
    "CONFIG_ZERO_CALL_USED_REGS": ("-fzero-call-used-regs=used-gpr",),
    "CONFIG_UBSAN_BOUNDS_STRICT": ("-fsanitize=bounds-strict",),
}


@dataclass(frozen=True)
class Toolchain:
    """A compiler, and the build root that it runs in."""

    compiler: Compiler
    # None if the compiler runs on the machine itself.
    root: BuildRoot | None = None

    @property
    def stamp(self) -> str:
        """A string that tells toolchains apart, made without running one."""
        return f"{self.root.key} {self.compiler.program}" if self.root else self.compiler.stamp

    def prepare(self) -> None:
        """Make the build root if there is none yet or if it is damaged, reporting progress."""
        if self.root:
            self.root.mend()

    def run(
        self,
        words: Sequence[str | Path],
        *,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        seconds: float = tool.SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a program, which must refer to folders by their plain.name().

        In a build root it sees only the folders in `readable` and `writable`.
        """
        if self.root:
            folder = self.root.make()
            words = buildroot.command(folder, words, readable=readable, writable=writable)
            with cache.using(*cache.containing(folder)):
                return tool.run(words, seconds=seconds)
        return tool.run(plain.command(words, [*readable, *writable]), seconds=seconds)

    @property
    def version(self) -> str:
        """The first line of what the compiler prints for --version."""
        return self.version_of(self.compiler.program)

    def version_of(self, program: str) -> str:
        """Return the first line that `program` prints for --version; raise InfrastructureError."""
        done = self.run([program, "--version"])
        if done.returncode:
            blame.check(f"The program {program}", done.returncode, done.stderr)
            raise InfrastructureError(
                f"{program} does not print its version: {done.stderr.strip()[-300:]}.", tool.DOCTOR
            )
        return done.stdout.partition("\n")[0]

    def knows(self, *flags: str) -> bool:
        """Return whether the compiler accepts some flags."""
        return self._compile_nothing(Path(os.devnull), *flags).returncode == 0

    def check(self, folder: Path) -> None:
        """Raise InfrastructureError where the compiler cannot even compile an empty file."""
        done = self._compile_nothing(folder / "control.o")
        if done.returncode:
            raise InfrastructureError(
                f"The compiler {self.compiler.program} does not compile an empty file:"
                f" {blame.first_error(done.stderr)}.",
                tool.DOCTOR,
            )

    def _compile_nothing(self, output: Path, *flags: str) -> subprocess.CompletedProcess[str]:
        """Compile an empty file; raise InfrastructureError where this machine is at fault."""
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
        The variables for a build of modules, whichever compiler the kernel was built with.

        A variable on the command line overrides the kernel's configuration, which describes
        the kernel's own compiler, so that the build chooses flags that this compiler knows.
        """
        clang = self.compiler.clang
        variables = {
            "CC": self.compiler.program,
            "CONFIG_CC_IS_GCC": "" if clang else "y",
            "CONFIG_CC_IS_CLANG": "y" if clang else "",
            # Stores cannot be proved in objects that the linker has yet to compile.
            "CONFIG_LTO": "",
            "CONFIG_LTO_CLANG": "",
        }
        if clang:
            # The kernel was configured for GNU as.
            variables["LLVM_IAS"] = "0"
        for option, flags in _FLAGS.items():
            if not self.knows(*flags):
                variables[option] = ""
        if "CONFIG_INIT_STACK_ALL_ZERO" in variables and self.knows(*_ZERO, *_ZERO_ENABLER):
            # clang 15 and older need the second flag, too.
            del variables["CONFIG_INIT_STACK_ALL_ZERO"]
            variables["CONFIG_CC_HAS_AUTO_VAR_INIT_ZERO_ENABLER"] = "y"
        return variables


def in_root(wanted: Compiler, root: BuildRoot, own: str) -> Toolchain:
    """
    Return the toolchain of a compiler in a root, to which the compiler's packages are added.

    `own` is the kernel's own compiler, such as "gcc-16", which is used in place of GCC.
    """
    compiler = Compiler(f"{CROSS_COMPILE}{own}") if wanted == GCC else wanted
    name = compiler.program.removeprefix(CROSS_COMPILE)
    package = name if compiler.clang else f"{name}-aarch64-linux-gnu"
    packages = ("make", "binutils-aarch64-linux-gnu", package, *root.packages)
    return Toolchain(compiler, replace(root, packages=packages))
