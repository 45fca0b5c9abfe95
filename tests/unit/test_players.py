# SPDX-License-Identifier: GPL-2.0-only
"""What is sent to players, and how many there are."""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
from contextlib import ExitStack
from multiprocessing import Pipe
from typing import Any

import pytest

from harness.commands.options import jobs
from harness.errors import ConfigError
from harness.measure import fuzz
from harness.run import players
from harness.run.result import Cut


def test_a_plan_is_drawn_where_it_is_played() -> None:
    plan = fuzz.plays(7, range(100), [], 0)
    assert len(pickle.dumps(plan[10:90])) < 1000


def test_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jobs(argparse.Namespace(jobs=3)) == 3
    with pytest.raises(ConfigError, match="at least 1"):
        jobs(argparse.Namespace(jobs=0))
    for processors, most in ((1, 1), (2, 1), (8, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, n=processors: set(range(n)))
        assert 1 <= jobs(argparse.Namespace(jobs=None)) <= most
    monkeypatch.setattr(players, "_MIB", 1 << 40)
    assert players.usual() == 1


# The one has begun, and says so; when it is stopped, it says what it has after the other has gone.
BEGUN = """
import signal, sys, time
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
def stop(*signal):
    time.sleep(0.3)
    connection.send("kept")
    sys.exit()
signal.signal(signal.SIGTERM, stop)
connection.recv_bytes()
connection.send(1.0)
signal.pause()
"""
NOT_BEGUN = "import signal; signal.pause()"


def test_one_that_had_not_begun_does_not_end_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(players, "progress", interrupted)
    with ExitStack() as resources:
        both = []
        for program in (NOT_BEGUN, BEGUN):
            ours, theirs = Pipe()
            with theirs:
                command = [sys.executable, "-c", program, str(theirs.fileno())]
                process = resources.enter_context(
                    subprocess.Popen(command, pass_fds=[theirs.fileno()])
                )
            resources.callback(process.kill)
            both.append(players._Player(process, ours))
        nothing: Any = argparse.Namespace(spec="a kernel")
        part = players.Part(nothing, nothing, [nothing] * 2, nothing, nothing, more=False)
        with pytest.raises(Cut) as cut:
            list(players.Players(both).each(part, 1))
    assert cut.value.kept == ["kept"]
