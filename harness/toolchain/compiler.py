# SPDX-License-Identifier: GPL-2.0-only
"""The compiler that the test modules are built with."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError, InfrastructureError
from harness.host import cache, given, tool

CROSS_COMPILE = "aarch64-linux-gnu-"
# A clang that is linked as one file has a tenth of this size.
_SIZE_MAX = 2048 * given.MIB


@dataclass(frozen=True)
class Compiler:
    """A C compiler for arm64."""

    # A name to look up in PATH, or a path.
    program: str
    clang: bool = False

    @property
    def stamp(self) -> str:
        """
        A string that tells compilers apart, made without running one.

        Raises InfrastructureError where the default one is missing, ConfigError for any other.
        """
        path = shutil.which(self.program)
        if path is None:
            sentence = f"The compiler {self.program} is not installed."
            if self == GCC:
                raise InfrastructureError(sentence, tool.DOCTOR)
            raise ConfigError(sentence, "Install it, or name another with --cc.")
        given.check(Path(path), _SIZE_MAX)
        # The programs that it runs in turn lie beside it.
        return f"{os.path.realpath(path)} {cache.content(Path(path))}"

    @property
    def flags(self) -> list[str]:
        """Flags that are passed after the kernel's own flags."""
        return ["-Wno-unknown-warning-option"] if self.clang else []


GCC = Compiler(f"{CROSS_COMPILE}gcc")
# Compiles programs that run on this machine.
HOST = Compiler("gcc")


def named(name: str) -> Compiler:
    """
    Return the compiler that a user names: gcc, gcc-14, clang, clang-16 or a path.

    Raises ConfigError.
    """
    match = re.fullmatch(r"(?:.*/)?(\S*?)(gcc|clang)(-\d+(?:\.\d+)*)?", name)
    if not match:
        raise ConfigError(
            f"There is no compiler '{name}'.", "Give gcc, clang, one with a version, or a path."
        )
    clang = match[2] == "clang"
    cross = "" if clang or "/" in name or match[1] else CROSS_COMPILE
    return Compiler(f"{cross}{name}", clang)
