# SPDX-License-Identifier: GPL-2.0-only
"""The command on terminals of all kinds, and without one."""

from __future__ import annotations

import os
import re
import subprocess

import pexpect
import pytest

from harness.report.terminal import lines
from tests.unit.test_reports import result

SECONDS = 60
COMMANDS = (
    ["list", "variants"],
    ["list", "cases"],
    ["predict", "--case", "stack-17", "--case", "by-ref-24"],
    ["--help"],
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(words: list[str], columns: int, **environment: str) -> str:
    """What a command writes to a terminal of that width."""
    child = pexpect.spawn(
        "jprobe-harness", words, encoding="utf-8", timeout=SECONDS, dimensions=(40, columns),
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    text: str = child.read()
    child.wait()
    assert child.exitstatus == 0, text
    return text


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_line_is_wider_than_the_terminal(words: list[str], columns: int) -> None:
    text = COLOUR.sub("", on_terminal(words, columns, COLUMNS=str(columns)))
    assert max(len(line) for line in text.splitlines()) <= columns


def test_colour_only_where_it_is_wanted() -> None:
    assert COLOUR.search(on_terminal(["list", "variants"], 80))
    plain = on_terminal(["list", "variants"], 80, NO_COLOR="1")
    # Bold is no colour (no-color.org).
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", plain)
    piped = subprocess.run(
        ["jprobe-harness", "list", "variants"], capture_output=True, text=True, timeout=SECONDS
    )
    assert "\x1b" not in piped.stdout + piped.stderr


def test_a_pipe_is_wide() -> None:
    piped = subprocess.run(
        ["jprobe-harness", "list", "cases"], capture_output=True, text=True, timeout=SECONDS,
        env={**os.environ, "COLUMNS": "20"},
    )  # fmt: skip
    assert max(map(len, piped.stdout.splitlines())) > 100


@pytest.mark.parametrize("columns", [50, 80, 132])
def test_a_hexdump_fits(columns: int) -> None:
    for outcome in result().outcomes:
        text = lines(outcome, columns, colour=False)
        assert text
        assert max(map(len, text)) <= columns
        assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(text)
