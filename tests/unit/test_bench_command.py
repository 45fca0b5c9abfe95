# SPDX-License-Identifier: GPL-2.0-only
"""Commands are timed, QEMU is found among their processes, and memory is counted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.errors import InfrastructureError
from harness.measure.bench import command, works
from harness.measure.bench.processes import Memory
from harness.measure.bench.rounds import MIB
from harness.run import logs
from harness.vm.machine import QEMU

# Starts a process that looks like QEMU, with an interpreter's memory and 40 MiB more.
STARTS = f"""\
import subprocess, sys, time
time.sleep(0.2)
code = "import time; held = b'x' * (40 << 20); time.sleep(0.4)"
words = ["{QEMU}", "-c", code, sys.argv[1], "Image"]
subprocess.run(words, executable=sys.executable, check=True)
time.sleep(0.3)
"""
# How much later than on an idle machine a process may be seen, in seconds.
LATE = 0.2
GUEST, VERSION = "-kernel", "--version"


def starts(option: str) -> list[str]:
    return [sys.executable, "-c", STARTS, option]


def test_the_time_before_and_after_qemu() -> None:
    timed = command.run(starts(GUEST))
    assert timed.before and timed.after
    assert timed.before >= 0.2
    assert timed.after >= 0.3
    assert timed.seconds >= timed.before + 0.4 + timed.after - LATE


def test_a_qemu_that_is_no_guest_does_not_count() -> None:
    timed = command.run(starts(VERSION))
    assert (timed.before, timed.after) == (None, None)
    assert timed.seconds >= 0.9


def test_two_guests_one_after_the_other() -> None:
    both = f"{STARTS}\nsubprocess.run(words, executable=sys.executable, check=True)\n"
    timed = command.run([sys.executable, "-c", both, GUEST])
    assert timed.before and timed.after is not None
    # The first one's end is as long before the command's as the second one's life and a pause.
    assert timed.after < 0.7 <= timed.seconds - timed.before - 0.4 + LATE


def test_the_memory_of_all_processes() -> None:
    most = command.memory(starts(GUEST))
    assert 40 * MIB < most.private <= most.qemu < 80 * MIB
    assert 5 * MIB < most.own < 40 * MIB
    assert most.qemu < most.tree < most.qemu + most.own
    without = command.memory(starts(VERSION))
    assert (without.qemu, without.private) == (0, 0)
    assert without.tree > 40 * MIB


def test_the_commands_own_memory_is_the_most_that_it_had() -> None:
    held = "import time; held = b'x' * (60 << 20); del held; time.sleep(0.2)"
    assert 60 * MIB < command.memory([sys.executable, "-c", held]).own < 100 * MIB


def test_the_most_of_each() -> None:
    assert Memory(1, 9, 3, 7).most(Memory(2, 8, 4, 6)) == Memory(2, 9, 4, 7)


def test_a_command_that_fails_is_not_timed() -> None:
    fails = "import sys; print('why it failed'); sys.exit(3)"
    with pytest.raises(InfrastructureError, match=r"ended with status 3(?s:.*)why it failed"):
        command.run([sys.executable, "-c", fails])


def test_a_command_without_end_is_ended() -> None:
    with pytest.raises(InfrastructureError, match="took longer than 0 s"):
        command.run(["sleep", "60"], seconds=0.3)


def test_our_own_command_is_not_one_of_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness/__init__.py").touch()
    (tmp_path / "harness/cli.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    assert command.run([*command.HARNESS, "--version"]).seconds > 0
    with pytest.raises(InfrastructureError, match="status 7"):
        command.run([word for word in (*command.HARNESS, "--version") if word != "-P"])


def test_logs_of_timed_runs_do_not_push_out_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    usual = logs._root()
    with works.own_logs():
        assert logs._root() != usual
    assert logs._root() == usual
    monkeypatch.delenv("XDG_STATE_HOME")
    with works.own_logs():
        pass
    assert "XDG_STATE_HOME" not in os.environ
