# SPDX-License-Identifier: GPL-2.0-only
"""Deadlines on a clock that stands still unless a test moves it."""

from __future__ import annotations

from harness.host.deadline import Deadline


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_left_is_shared() -> None:
    clock = _Clock()
    deadline = Deadline(2, clock)
    assert (deadline.left, deadline.passed, deadline.seconds) == (2, False, 2)
    clock.now += 1.5
    assert (deadline.left, deadline.passed) == (0.5, False)
    clock.now += 0.5
    assert (deadline.left, deadline.passed) == (0, True)
    clock.now += 10
    assert (deadline.left, deadline.passed) == (0, True)


def test_it_only_comes_sooner() -> None:
    clock = _Clock()
    deadline = Deadline(2, clock)
    assert deadline.sooner(3) is deadline
    clock.now += 1
    sooner = deadline.sooner(0.25)
    assert (sooner.left, deadline.left) == (0.25, 1)
    assert deadline.sooner(1) is deadline
