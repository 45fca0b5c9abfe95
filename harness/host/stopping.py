# SPDX-License-Identifier: GPL-2.0-only
"""
Signals that stop a command: Ctrl-C, a cancelled job, a closed terminal.

The first one raises KeyboardInterrupt in the main thread; further signals are ignored, so
that they do not disturb the clean-up and the report.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# A signal this long after the previous one is not ignored: the clean-up takes too long.
PATIENCE_SECONDS = 30.0


class _Asked:
    """The handler of the signals, which remembers those that came."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None
        # When a signal was last obeyed, on the monotonic clock.
        self._at = 0.0
        self.holds = 0
        self._waits = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        insists = self.by is not None
        if insists and now - self._at < PATIENCE_SECONDS:
            return
        self.by, self._at = signal.Signals(number), now
        self._waits = self.holds > 0 and not insists
        if not self._waits:
            raise KeyboardInterrupt

    def catch_up(self) -> None:
        """Raise KeyboardInterrupt if a signal came while it was held back."""
        if self._waits and not self.holds:
            self._waits = False
            raise KeyboardInterrupt


_asked = _Asked()


@contextmanager
def obeyed() -> Iterator[None]:
    """Handle the signals from entry to exit, except ignored ones, as under nohup."""
    global _asked
    if not _in_main_thread():
        yield
        return
    _asked = _Asked()
    heeded = [one for one in SIGNALS if signal.getsignal(one) not in (signal.SIG_IGN, None)]
    previous = [(one, signal.signal(one, _asked)) for one in heeded]
    try:
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """
    Hold back signals from entry to exit.

    No process is then started without being recorded, and no report is interrupted.
    """
    if not _in_main_thread():
        yield
        return
    _asked.holds += 1
    try:
        yield
    finally:
        _asked.holds -= 1
        _asked.catch_up()


def leave_to_others() -> None:
    """Restore the signals' defaults, for code that handles Ctrl-C by itself."""
    for number in SIGNALS:
        if signal.getsignal(number) is _asked:
            handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, handler)


def how() -> str:
    """Return how a command was ended, in a few words."""
    by = _asked.by
    return "interrupted" if by in (None, signal.SIGINT) else f"ended by {by.name}"


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
