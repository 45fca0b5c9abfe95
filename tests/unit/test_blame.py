# SPDX-License-Identifier: GPL-2.0-only
"""Who is to blame for a failed build, by what its tools print."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import cli
from harness.archive import apt
from harness.errors import ConfigError, Exit, InfrastructureError
from harness.host import blame, tool, yamlfile
from harness.kernel import kconfig
from harness.nightly import unit_runner
from harness.nightly.unit import Unit, UnitKind

# What programs of Debian 12 print, by what is wrong with the machine.
OURS = {
    "a disk is full": (
        "closing dependency file /m/.core.o.d: No space left on device",
        "/tmp/cc.s: Fatal error: can't write 39 bytes to section .data of a.o: 'No space left on"
        " device'",
        "error: unable to open output file 'a.o': 'Disk quota exceeded'",
    ),
    "a file would be too large": ("make[3]: *** [Makefile:250: a.o] File size limit exceeded",),
    "too many files are open": (
        "/l/include/a.h:13:10: fatal error: /l/include/b.h: Too many open files",
    ),
    "there is no memory left": (
        "cc1: out of memory allocating 65536 bytes after a total of 405504 bytes",
        "make[2]: vfork: Cannot allocate memory",
    ),
    "no further process can be started": ("sh: 0: Cannot fork: Resource temporarily unavailable",),
    "a file system is read-only": ("sh: 1: cannot create a: Read-only file system",),
    "a disk fails": ("sh: 1: echo: echo: I/O error",),
    "a file may not be used": ("sh: 1: cannot create a: Permission denied",),
    "a program does not run on this machine": (
        "/bin/sh: 1: scripts/basic/fixdep: Exec format error",
        "scripts/mod/modpost: version `GLIBC_2.38' not found (required by scripts/mod/modpost)",
    ),
    "a program was killed": (
        "gcc: fatal error: Killed signal terminated program cc1",
        "a.c:1:1: internal compiler error: Killed",
        "collect2: fatal error: ld terminated with signal 9 [Killed]",
        "clang: error: unable to execute command: Killed",
        "make[3]: *** [scripts/Makefile.build:250: a.o] Killed",
        "make[3]: *** [scripts/Makefile.build:250: a.o] Segmentation fault (core dumped)",
        "make[3]: *** [scripts/Makefile.build:250: a.o] Error 137",
    ),
    "a program or a library is missing": (
        "gcc: fatal error: cannot execute 'cc1': execvp: No such file or directory",
        "bwrap: execvp make: No such file or directory",
        "bwrap: No permissions to create new namespace",
        "/usr/bin/ld: cannot find -lelf: No such file or directory",
        "scripts/sign-file.c:25:10: fatal error: openssl/opensslv.h: No such file or directory",
    ),
    "a program could not be run": (
        "/bin/sh: 1: bc: not found\nmake[1]: *** [Kbuild:24: a.h] Error 127",
        "/bin/sh: line 1: bc: command not found\nmake[1]: *** [Kbuild:24: a.h] Error 127",
        "make[1]: bc: No such file or directory\nmake[1]: *** [Kbuild:24: a.h] Error 127",
        "/usr/bin/env: 'python3': No such file or directory\nmake: *** [Kbuild:2: a] Error 127",
        "/bin/sh: 1: /opt/gcc/bin/gcc: not found\nmake: *** [Kbuild:2: a] Error 127",
        # The script exists, but its interpreter is missing, or its mount has noexec.
        "/bin/sh: 1: scripts/runs.sh: not found\nmake: *** [Kbuild:2: a] Error 127",
        "/bin/sh: 1: scripts/runs.sh: Permission denied\nmake: *** [Kbuild:2: a] Error 126",
    ),
}
NOT_OURS = (
    "a.c:1:2: error: #error No space left on device",
    '    1 | #warning "Too many open files"\na.c:1:1: error: unknown type name',
    "a.c:1:10: fatal error: linux/no-such.h: No such file or directory",
    "make[1]: *** No rule to make target 'a.o', needed by 'built-in.a'.  Stop.",
    "a.c:9:1: internal compiler error: Segmentation fault",
    # Some trees look for programs that they can do without.
    "/bin/sh: 1: pahole: not found\na.c:1:1: error: x\nmake: *** [Makefile:3: a.o] Error 1",
    # What is missing here is for the tree to provide.
    "/bin/sh: 1: ./scripts/no-such.sh: not found\nmake: *** [Kbuild:2: a] Error 127",
    "/bin/sh: 1: scripts/plain.sh: Permission denied\nmake: *** [Kbuild:2: a] Error 126",
    "/bin/sh: 1: -x: not found\nmake: *** [Kbuild:2: a] Error 127",
)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Return a tree with two scripts, of which one is executable."""
    (tmp_path / "scripts").mkdir()
    for name, mode in (("runs.sh", 0o755), ("plain.sh", 0o644)):
        (tmp_path / "scripts" / name).touch(mode=mode)
    return tmp_path


@pytest.mark.parametrize(
    ("why", "output"), [(why, output) for why, outputs in OURS.items() for output in outputs]
)
def test_signs_of_this_machine(given: Path, why: str, output: str) -> None:
    text = f"  CC      a.o\n{output}\nmake: *** [Makefile:7: modules] Error 2\n"
    with pytest.raises(InfrastructureError, match=f"^The build failed, as {why}: ") as caught:
        blame.check("The build", 2, text, given=[given])
    assert caught.value.sentence.endswith(".")
    assert caught.value.hint
    assert caught.value.exit_status == Exit.INFRASTRUCTURE


@pytest.mark.parametrize("output", NOT_OURS)
def test_what_is_no_sign_of_this_machine(given: Path, output: str) -> None:
    blame.check("The build", 2, f"  CC      a.o\n{output}\n", given=[given])


def test_a_status_that_stands_for_a_signal() -> None:
    with pytest.raises(InfrastructureError, match=r"^bwrap was killed by SIGKILL\."):
        blame.check("bwrap", 137, "")
    # 128 and 129 are git's, for a fatal error and for wrong usage.
    for status in (0, 1, 2, 125, 128, 129):
        blame.check("git", status, "")


def test_what_succeeded_has_no_signs() -> None:
    blame.check("spatch", 0, "a.c: Permission denied\n")


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open no further file."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_no_more_files_to_open(tmp_path: Path) -> None:
    with (
        no_more_files(),
        pytest.raises(InfrastructureError, match=r"true cannot be run: .*Too many open") as caught,
    ):
        tool.run(["true"])
    assert "ulimit -n" in caught.value.hint
    with no_more_files(), pytest.raises(InfrastructureError, match="Too many open files"):
        tool.follow(["true"], log=tmp_path / "log", on_line=print, seconds=1)


def test_no_more_files_to_open_is_no_fault_of_a_kernels(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with no_more_files():
        assert cli.main(["repro", "--bisect", "--kernel", str(tmp_path)]) == 128
    assert "Too many open files." in capsys.readouterr().err
    unit = Unit(
        kernel=str(tmp_path), compiler="gcc", kind=UnitKind.CELLS, variants=[], cases=[], deadline=1
    )
    with no_more_files():
        done = unit_runner.perform(unit)
    assert not done.kernel_errors
    assert "Too many open files" in done.harness_errors[0]


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "Make room"), (errno.EROFS, "XDG_CACHE_HOME"), (errno.ENOTDIR, "Check")],
)
def test_a_failed_system_call_in_a_sentence(number: int, hint: str) -> None:
    error = OSError(number, os.strerror(number), "/some/where")
    reported = blame.explained(error)
    assert reported.sentence == f"/some/where: {os.strerror(number)}."
    assert reported.hint.startswith(hint) or hint in reported.hint
    assert blame.explained(error, "/some/where cannot be written").sentence.count("where") == 1


def test_a_file_that_cannot_be_read_is_the_users_fault_unless_none_can(tmp_path: Path) -> None:
    fragment = tmp_path / "my.config"
    with pytest.raises(ConfigError, match=r"my\.config: cannot be read: No such file"):
        kconfig.read(fragment)
    # It has another name, as each file is read once.
    fragment = tmp_path / "other.config"
    fragment.write_text("CONFIG_A=y\n")
    with no_more_files(), pytest.raises(InfrastructureError, match="read: Too many open files"):
        kconfig.read(fragment)
    with no_more_files(), pytest.raises(InfrastructureError, match="read: Too many open files"):
        yamlfile.read(fragment, dict)


def test_what_apt_says_of_a_full_disk() -> None:
    full = "E: Write error - write (28: No space left on device)\n"
    with pytest.raises(InfrastructureError, match="apt failed, as a disk is full"):
        apt.explain("update", full)
    harmless = "W: Download is performed unsandboxed (13: Permission denied)\nE: Something else\n"
    assert "Check the network" in apt.explain("update", harmless).hint


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"The log .*: No such file or directory") as one:
        tool.follow(["true"], log=tmp_path / "no/log", on_line=print, seconds=1)
    assert str(one.value).count(str(tmp_path)) == 1
    with pytest.raises(InfrastructureError, match="The log /dev/full cannot be written: No space"):
        tool.follow(["echo", "text"], log=Path("/dev/full"), on_line=print, seconds=9)
