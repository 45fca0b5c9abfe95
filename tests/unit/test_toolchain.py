# SPDX-License-Identifier: GPL-2.0-only
"""Where a kernel's modules are built."""

from __future__ import annotations

from pathlib import Path

from harness.kernel import buildroot, debian
from harness.kernel.buildroot import BuildRoot
from harness.kernel.compiler import GCC, Compiler
from harness.kernel.toolchain import in_root
from harness.settings import Archive

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
    assert debian._numbers("2.38") > debian._numbers("2.4")
