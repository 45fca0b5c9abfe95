# SPDX-License-Identifier: GPL-2.0-only
"""What is done is printed and logged where that is asked for, and nowhere else."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from harness import steps
from harness.cli import main
from harness.errors import Exit
from harness.host import tool
from tests.listener import Heard

WORDS = ["predict", "--case", "stack-9", "--variant", "none"]
STAMP = r"\d\d:\d\d:\d\d\.\d{3} "


def test_a_step_says_how_long_it_took(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "harness"), steps.step("build"):
        tool.check(["true"])
    assert [re.sub(r"[\d.]+ s", "N s", one) for one in caplog.messages] == ["build: N s"]
    caplog.clear()
    detail = caplog.at_level(logging.DEBUG, "harness")
    with detail, pytest.raises(ZeroDivisionError), steps.step("build"):
        tool.check(["true", "a b"])
        raise ZeroDivisionError
    assert [re.sub(r"[\d.]+ s", "N s", one) for one in caplog.messages] == [
        "build ...", "run true 'a b' ...", "run true 'a b': N s",
        "build: ZeroDivisionError after N s",
    ]  # fmt: skip


def test_a_command_prints_it_only_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(WORDS) == Exit.AGREES
    plain = capsys.readouterr()
    assert plain.err == ""
    assert main([*WORDS, "-v"]) == Exit.AGREES
    printed = capsys.readouterr()
    assert printed.out == plain.out
    assert re.fullmatch(rf"{STAMP}predict: [\d.]+ s\n", printed.err)
    assert main([*WORDS, "-vv"]) == Exit.AGREES
    assert re.match(rf"{STAMP}predict \.\.\.\n", capsys.readouterr().err)
    # The next command prints nothing again.
    assert main(WORDS) == Exit.AGREES
    assert capsys.readouterr().err == ""


def test_a_log_file_has_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "log"
    assert main([*WORDS, "--log-file", str(file)]) == Exit.AGREES
    assert capsys.readouterr().err == ""
    assert re.fullmatch(rf"{STAMP}predict \.\.\.\n{STAMP}predict: [\d.]+ s\n", file.read_text())
    for bad in ("-", str(tmp_path), str(tmp_path / "no/such/file")):
        assert main([*WORDS, "--log-file", bad]) == Exit.USAGE
    assert main([*WORDS, "--json", str(file), "--log-file", str(file)]) == Exit.USAGE


def test_progress_reaches_who_listens_and_nobody_else() -> None:
    outer, inner = Heard(), Heard()
    steps.progress("nobody", 1)
    with steps.listening(outer):
        steps.progress("building", 50)
        with steps.listening(inner):
            steps.booting()
        with steps.part(3, 10):
            steps.progress("playing", 2, 5)
            steps.booting()
    steps.progress("nobody", 2)
    assert outer.progressed == [("building", 50, 100), ("playing", 5, 10)]
    assert (outer.boots, inner.boots, inner.progressed) == (1, 1, [])
