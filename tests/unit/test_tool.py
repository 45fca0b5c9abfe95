# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are not there, fail or do not end."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from harness import tool
from harness.errors import InfrastructureError


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
    told: list[float] = []
    count = tool.steps("I: ", 2, told.append)
    for line in ("I: one", "no step", "I: two", "I: three"):
        count(line)
    assert told == [50, 99, 99]
