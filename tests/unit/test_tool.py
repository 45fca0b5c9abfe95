# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are not there, fail or do not end, and what they see of the environment."""

from __future__ import annotations

import ast
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness import resources
from harness.errors import InfrastructureError
from harness.host import tool


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(InfrastructureError, match="no-such-program is not installed") as caught:
        tool.run(["no-such-program"])
    assert "doctor --install" in caught.value.hint


def test_a_program_that_does_not_end() -> None:
    with pytest.raises(InfrastructureError, match="sleep took longer than 0 s"):
        tool.run(["sleep", "60"], seconds=0.1)


def test_a_program_that_fails() -> None:
    assert tool.run(["sh", "-c", "exit 3"]).returncode == 3
    with pytest.raises(InfrastructureError, match="sh failed with status 3: why"):
        tool.check(["sh", "-c", "echo why >&2; exit 3"])
    assert tool.check(["echo", "fine"]) == "fine\n"


def test_a_program_is_followed_line_by_line(tmp_path: Path) -> None:
    lines: list[str] = []
    command = ["sh", "-c", "echo one; echo two >&2; printf three; exit 4"]
    status = tool.follow(command, log=tmp_path / "log", on_line=lines.append, seconds=60)
    assert (status, lines) == (4, ["one", "two"])
    assert (tmp_path / "log").read_text() == "one\ntwo\nthree"


def test_a_followed_program_goes_with_its_children(tmp_path: Path) -> None:
    children: list[int] = []
    with pytest.raises(InfrastructureError, match="sh took longer than 1 s"):
        tool.follow(
            ["sh", "-c", "sleep 600 & echo $!; wait"],
            log=tmp_path / "log",
            on_line=lambda line: children.append(os.pidfd_open(int(line))),
            seconds=1,
        )
    with os.fdopen(children[0]) as child:
        # A pidfd is readable once its process has ended.
        assert select.select([child], [], [], 30)[0]


def test_a_program_to_follow_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="is not installed"):
        tool.follow(["no-such"], log=tmp_path / "log", on_line=print, seconds=1)


def test_a_followed_program_that_closes_its_output_and_goes_on(tmp_path: Path) -> None:
    command = ["sh", "-c", "exec >&- 2>&-; exec sleep 60"]
    with pytest.raises(InfrastructureError, match="took longer than 1 s"):
        tool.follow(command, log=tmp_path / "log", on_line=print, seconds=1)


def test_steps_count_up_to_99() -> None:
    reported: list[float] = []
    count = tool.steps("I: ", 2, reported.append)
    for line in ("I: one", "no step", "I: two", "I: three"):
        count(line)
    assert reported == [50, 99, 99]


# Variables that change what make, git, a compiler or a shell does.
HAZARDS = (
    "KBUILD_OUTPUT", "KBUILD_EXTRA_SYMBOLS", "KBUILD_EXTMOD", "KCONFIG_CONFIG", "KCONFIG_ALLCONFIG",
    "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MAKEFILES", "GNUMAKEFLAGS",
    "LLVM", "LLVM_IAS", "ARCH", "SUBARCH", "CROSS_COMPILE", "CC", "LD", "AS", "HOSTCC",
    "KCFLAGS", "KAFLAGS", "KCPPFLAGS", "CFLAGS", "CFLAGS_MODULE", "LOCALVERSION", "INSTALL_PATH",
    "INSTALL_MOD_PATH", "W", "V", "C", "O", "M", "SOURCE_DATE_EPOCH",
    "CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH", "GCC_EXEC_PREFIX", "COMPILER_PATH", "GCC_COLORS",
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_CONFIG_COUNT",
    "GREP_OPTIONS", "CDPATH", "BASH_ENV", "ENV", "IFS", "POSIXLY_CORRECT", "TAR_OPTIONS",
    "PERL5LIB", "PYTHONPATH", "LD_PRELOAD", "LANG", "LANGUAGE", "LC_MESSAGES", "XZ_OPT",
)  # fmt: skip


@pytest.fixture
def hazards(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HAZARDS:
        # An empty value stops no loader and no shell.
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("http_proxy", "http://proxy:3128")


def check_stated(seen: Mapping[str, str]) -> None:
    assert not seen.keys() & set(HAZARDS)
    assert seen["LC_ALL"] == "C.UTF-8"
    assert seen["http_proxy"] == "http://proxy:3128"
    assert seen["PATH"] == os.environ["PATH"]


def parsed(lines: list[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.usefixtures("hazards")
def test_a_program_has_a_stated_environment(tmp_path: Path) -> None:
    check_stated(parsed(tool.run(["env"]).stdout.splitlines()))
    lines: list[str] = []
    tool.follow(["env"], log=tmp_path / "log", on_line=lines.append, seconds=60)
    check_stated(parsed(lines))
    check_stated(parsed(tool.check(tool.with_stated_environment(["env"])).splitlines()))
    more = tool.run(["env"], environment={"GIT_CEILING_DIRECTORIES": "/"}).stdout
    assert parsed(more.splitlines())["GIT_CEILING_DIRECTORIES"] == "/"


# Files that start something in an environment that is not stated, and what they start.
OWN = {
    "nightly/worker.py": "this program again",
    "run/players.py": "this program again",
    "commands/nightly.py": "the user's own command",
    "host/doctor.py": "a terminal's",
    "inspect/debug.py": "a terminal's",
}


def test_no_program_is_started_past_it() -> None:
    root = resources.PACKAGE
    past = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            text = ast.unparse(node) if isinstance(node, ast.Call) else ""
            starts = text.startswith(
                ("subprocess.", "os.system(", "os.spawn", "os.exec", "pexpect")
            )
            known = ("stated_environment(", "subprocess.TimeoutExpired", "subprocess.Completed")
            if (starts or "GdbController(" in text[:20]) and not any(w in text for w in known):
                past.add(str(file.relative_to(root)))
    assert past == set(OWN)


def test_a_program_that_is_killed(tmp_path: Path) -> None:
    command = ["sh", "-c", "kill -TERM $$"]
    with pytest.raises(InfrastructureError, match=r"sh was killed by SIGTERM\."):
        tool.run(command)
    with pytest.raises(InfrastructureError, match=r"sh was killed by SIGTERM\."):
        tool.follow(command, log=tmp_path / "log", on_line=print, seconds=60)


def test_a_program_that_may_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "plain").touch(mode=0o644)
    with pytest.raises(InfrastructureError, match="plain cannot be run: Permission denied"):
        tool.run([tmp_path / "plain"])


def test_a_program_that_is_bound_ends_with_its_parent() -> None:
    code = (
        "import subprocess; from harness.host import tool\n"
        "subprocess.run(tool.bound(['sh', '-c', 'echo $$; exec sleep 60']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        program = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        assert select.select([program], [], [], 30)[0]
        os.close(program)


def test_a_program_whose_parent_has_ended_already_does_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would ask for a signal that can no longer come."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    command = tool.bound(["touch", tmp_path / "ran"])
    monkeypatch.undo()
    assert subprocess.run(command, timeout=30).returncode == 1
    assert not (tmp_path / "ran").exists()
