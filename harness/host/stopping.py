# SPDX-License-Identifier: GPL-2.0-only
"""
Ctrl-C and its like: a job that is cancelled, a terminal that is closed.

Each is a KeyboardInterrupt in the main thread, and only once: further signals do not
disturb what is then cleaned up and reported.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# Whoever asks again after that has waited long enough for a clean-up.
PATIENCE_SECONDS = 30.0


class _Asked:
    """What a command was asked."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None
        # When it was last heeded, on the monotonic clock.
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
        """Raise what had to wait."""
        if self._waits and not self.holds:
            self._waits = False
            raise KeyboardInterrupt


_asked = _Asked()


@contextmanager
def obeyed() -> Iterator[None]:
    """Heed the signals from entry to exit, but for those that are ignored, as by nohup."""
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
    Have what comes meanwhile wait for the end.

    So nothing is started that nobody knows of, and what is being reported is reported.
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
    """Have the signals end the process at once, for what handles Ctrl-C by itself."""
    for number in SIGNALS:
        if signal.getsignal(number) is _asked:
            handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, handler)


def how() -> str:
    """How a command was ended, in a word or two."""
    by = _asked.by
    return "interrupted" if by in (None, signal.SIGINT) else f"ended by {by.name}"


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
