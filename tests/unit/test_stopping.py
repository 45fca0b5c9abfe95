# SPDX-License-Identifier: GPL-2.0-only
"""Signals that ask a command to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness.host import stopping


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Reset the signals to what a shell sets, whatever started the tests."""
    previous = [(one, signal.signal(one, signal.SIG_DFL)) for one in stopping.SIGNALS]
    yield
    for number, handler in previous:
        signal.signal(number, handler)


def ask(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_each_is_an_interrupt_once(number: signal.Signals) -> None:
    with stopping.obeyed():
        with pytest.raises(KeyboardInterrupt):
            ask(number)
        for other in stopping.SIGNALS:
            ask(other)
        expected = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
        assert stopping.how() == expected
    assert signal.getsignal(number) == signal.SIG_DFL


def test_one_that_is_held_comes_at_the_end() -> None:
    done = []
    with stopping.obeyed(), pytest.raises(KeyboardInterrupt), stopping.held():
        with stopping.held():
            ask()
            done.append("inner")
        ask()
        done.append("outer")
    assert done == ["inner", "outer"]


def test_whoever_insists_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "PATIENCE_SECONDS", 0)
    with stopping.obeyed(), stopping.held():
        ask()
        with pytest.raises(KeyboardInterrupt):
            ask()


def test_what_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stopping.obeyed():
        ask(signal.SIGHUP)
        assert stopping.how() == "interrupted"


def test_what_handles_them_itself_gets_them() -> None:
    code = (
        "import os, signal\nfrom harness.host import stopping\nwith stopping.obeyed():\n"
        "    stopping.leave_to_others()\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    signal.pause()\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGTERM
