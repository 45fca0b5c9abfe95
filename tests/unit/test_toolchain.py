# SPDX-License-Identifier: GPL-2.0-only
"""Where a kernel's modules are built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.archive import buildroot
from harness.archive.buildroot import BuildRoot
from harness.kernel.kernel import numbers
from harness.settings import Archive
from harness.toolchain.compiler import GCC, Compiler
from harness.toolchain.toolchain import Toolchain, in_root

ROOT = BuildRoot(("some-suite",), ("linux-kbuild-7.2",), Archive())


def test_the_kernels_own_compiler_stands_for_the_default() -> None:
    chain = in_root(GCC, ROOT, "gcc-16")
    assert chain.compiler == Compiler("aarch64-linux-gnu-gcc-16")
    assert chain.root is not None
    assert "gcc-16-aarch64-linux-gnu" in chain.root.packages
    assert "linux-kbuild-7.2" in chain.root.packages


def test_a_root_has_the_compiler_that_was_asked_for() -> None:
    clang = in_root(Compiler("clang-19", clang=True), ROOT, "gcc-16")
    assert clang.root is not None
    assert "clang-19" in clang.root.packages
    gcc = in_root(Compiler("aarch64-linux-gnu-gcc-14"), ROOT, "gcc-16")
    assert gcc.root is not None
    assert "gcc-14-aarch64-linux-gnu" in gcc.root.packages
    assert len({clang.stamp, gcc.stamp, in_root(GCC, ROOT, "gcc-16").stamp}) == 3


def test_a_build_sees_what_it_is_given() -> None:
    words = buildroot.command(
        Path("/root"), ["make"], readable=[Path("/kernel")], writable=[Path("/modules")]
    )
    text = " ".join(map(str, words))
    assert "--ro-bind /kernel /kernel" in text
    assert "--bind /modules /modules" in text
    assert "--unshare-net" in text
    assert words[-1] == "make"


def test_which_c_library_is_new_enough() -> None:
    assert numbers("2.38") > numbers("2.4")
    assert numbers("6.1.0-56-cloud-arm64") == (6, 1, 0, 56)
    assert numbers("5.6.0-rc1") > (5, 6) > numbers("5.5.19")


@dataclass(frozen=True)
class Limited(Toolchain):
    """A compiler that knows only the flags that are not in `unknown`."""

    unknown: tuple[str, ...] = ()

    def knows(self, *flags: str) -> bool:
        return not any(flag in self.unknown for flag in flags)


def variables(compiler: Compiler, unknown: tuple[str, ...] = ()) -> dict[str, str]:
    return Limited(compiler, unknown=unknown).make_variables


def test_flags_that_the_kernels_own_compiler_knew() -> None:
    assert "CONFIG_INIT_STACK_ALL_ZERO" not in variables(GCC)
    old = variables(GCC, ("-ftrivial-auto-var-init=zero",))
    assert old["CONFIG_INIT_STACK_ALL_ZERO"] == ""
    clang = variables(Compiler("clang", clang=True), ("-fmin-function-alignment=8",))
    assert clang["CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT"] == ""
    assert (clang["CONFIG_CC_IS_GCC"], clang["CONFIG_CC_IS_CLANG"]) == ("", "y")


def test_a_kernel_of_link_time_optimisation() -> None:
    """Its modules are compiled without LTO, so that stores can be proved in their objects."""
    assert variables(Compiler("clang", clang=True))["CONFIG_LTO_CLANG"] == ""


def test_a_compiler_says_what_it_knows() -> None:
    chain = Toolchain(Compiler("gcc"))
    assert chain.knows("-O2")
    assert not chain.knows("-fno-such-flag-exists")
