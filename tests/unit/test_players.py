# SPDX-License-Identifier: GPL-2.0-only
"""What is sent to players, and how many there are."""

from __future__ import annotations

import argparse
import os
import pickle

import pytest

from harness.commands.options import jobs
from harness.errors import ConfigError
from harness.measure import fuzz
from harness.run import players


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
