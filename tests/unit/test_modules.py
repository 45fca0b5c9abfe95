# SPDX-License-Identifier: GPL-2.0-only
"""Who is to blame if modules do not build, with a stand-in for the kernel's build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import BuildError, ConfigError, InfrastructureError, UnfitTree
from harness.kernel.kernel import Kernel
from harness.modules import build as modules
from harness.modules import casegen
from harness.toolchain.compiler import Compiler
from harness.toolchain.toolchain import Toolchain
from tests.unit.kernels import made_up

# "Builds" the control, and fails of anything else as it is asked to.
MAKEFILE = """\
modules:
	@if grep -q '^obj-m := control.o$$' $(M)/Kbuild; then {control}; else {ours}; fi
"""
ERROR = "echo '{}: error: unknown type name' >&2; exit 2"
WORKS = Compiler("gcc")


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    build = tmp_path / "build"
    build.mkdir()
    (build / "config").write_text("CONFIG_ARM64=y\n")
    return made_up(build)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the modules of one case."""
    (tmp_path / "modules/probe-targets").mkdir(parents=True)
    (tmp_path / "modules/Kbuild").write_text("obj-m := ours.o\n")
    (tmp_path / "modules" / modules.CASES).write_text(
        casegen.source(Catalog().select_cases(["stack-9"]))
    )
    return tmp_path / "modules"


def build(
    kernel: Kernel, folder: Path, ours: str, control: str = "true", compiler: Compiler = WORKS
) -> None:
    (kernel.kbuild.folder / "Makefile").write_text(MAKEFILE.format(ours=ours, control=control))
    modules.kbuild(kernel, folder, Toolchain(compiler))


def script(path: Path, text: str) -> Compiler:
    """Return a compiler that is a script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Compiler(str(path))


def test_a_machine_at_fault_is_not_held_against_a_kernel(kernel: Kernel, folder: Path) -> None:
    full = "echo 'as: a.o: No space left on device' >&2; exit 2"
    # This holds even if a case would be blamed as well.
    line = (folder / modules.CASES).read_text().splitlines().index("") + 1
    with pytest.raises(InfrastructureError, match="modules for some:kernel failed, as a disk is"):
        build(kernel, folder, f"echo 'cases.c:{line}: error: x' >&2; {full}")
    # The sign may show only in the control.
    with pytest.raises(InfrastructureError, match="as a disk is full"):
        build(kernel, folder, ERROR.format("core.c:1"), control=full)
    with pytest.raises(InfrastructureError, match=r"make was killed by SIGKILL\."):
        build(kernel, folder, "kill -KILL $$PPID")
    with pytest.raises(InfrastructureError, match="as a program was killed"):
        build(kernel, folder, "kill -KILL $$$$")
    with pytest.raises(InfrastructureError, match=r"could not be run: .*no-such-program"):
        build(kernel, folder, "no-such-program")


def test_a_kernel_that_our_modules_do_not_fit(kernel: Kernel, folder: Path) -> None:
    with pytest.raises(UnfitTree, match=r"core\.c:1: error: unknown type name\.") as caught:
        build(kernel, folder, ERROR.format("core.c:1"))
    assert "An empty module does" in caught.value.hint


def test_a_kernel_that_takes_no_modules(kernel: Kernel, folder: Path) -> None:
    with pytest.raises(UnfitTree, match="Not even an empty module builds for some:kernel: module"):
        build(kernel, folder, ERROR.format("core.c:1"), control=ERROR.format("module.h:7"))


def test_a_compiler_that_compiles_nothing(kernel: Kernel, folder: Path, tmp_path: Path) -> None:
    broken = script(tmp_path / "broken-gcc", "echo 'error: no cc1' >&2; exit 1")
    with pytest.raises(InfrastructureError, match="broken-gcc does not compile an empty file"):
        build(kernel, folder, ERROR.format("core.c:1"), compiler=broken)


def test_a_compiler_that_is_killed_says_nothing_of_its_flags(tmp_path: Path) -> None:
    killed = script(tmp_path / "killed-gcc", "kill -KILL $$")
    with pytest.raises(InfrastructureError, match="killed-gcc was killed by SIGKILL"):
        Toolchain(killed).knows("-O2")
    full = script(tmp_path / "full-gcc", "echo '/tmp/a.s: No space left on device' >&2; exit 1")
    with pytest.raises(InfrastructureError, match="as a disk is full"):
        Toolchain(full).knows("-O2")
    silent = script(tmp_path / "silent-gcc", "exit 1")
    with pytest.raises(InfrastructureError, match="silent-gcc does not print its version"):
        _ = Toolchain(silent).version


def test_a_case_at_fault_is_named(kernel: Kernel, folder: Path) -> None:
    lines = (folder / modules.CASES).read_text().splitlines()
    line = next(n for n, _ in enumerate(lines, 1) if casegen.case_at("\n".join(lines), n))
    with pytest.raises(BuildError, match="case 'stack-9' cannot be compiled"):
        build(kernel, folder, ERROR.format(f"probe-targets/cases.c:{line}"))


def test_variables_that_no_module_builds_with(kernel: Kernel, folder: Path) -> None:
    given = replace(kernel, variables=("KCFLAGS=-nonsense",))
    checks = f"case '$(KCFLAGS)' in *-nonsense*) {ERROR.format('gcc')};; esac"
    with pytest.raises(ConfigError, match="some:kernel with --make KCFLAGS=-nonsense: gcc: error"):
        build(given, folder, checks, control=checks)


def test_what_make_is_given(kernel: Kernel, folder: Path, tmp_path: Path) -> None:
    reported = tmp_path / "told"
    given = replace(
        kernel,
        kbuild=replace(kernel.kbuild, flags=("-fno-pie",)),
        variables=("KCFLAGS=-Og", "W=1"),
    )
    build(given, folder, f"echo $(KCFLAGS) W=$(W) >{reported}")
    words = reported.read_text().split()
    assert words[-2:] == ["-Og", "W=1"]
    assert "-fno-pie" in words
