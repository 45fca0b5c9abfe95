# SPDX-License-Identifier: GPL-2.0-only
"""
What the program does, how far it is, and how long it takes.

Steps are logged, for --verbose and --log-file.  Whoever shows progress listens, and nobody on
the way has to hand anything on.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

LOG = logging.getLogger("harness")
# Without options, nothing is printed: not even what logging prints as a last resort.
LOG.addHandler(logging.NullHandler())


@contextmanager
def step(what: str, level: int = logging.INFO) -> Iterator[None]:
    """Log what is done at its end with its seconds, and in detail also at its begin."""
    LOG.debug("%s ...", what)
    begin = time.monotonic()
    try:
        yield
    except BaseException as error:
        LOG.log(level, "%s: %s after %.3f s", what, type(error).__name__, time.monotonic() - begin)
        raise
    LOG.log(level, "%s: %.3f s", what, time.monotonic() - begin)


def notice(sentence: str) -> None:
    """Tell the user something beside the command's result, if anybody can still be told."""
    with suppress(OSError):
        print(f"jprobe-harness: {sentence}", file=sys.stderr, flush=True)


class Listener:
    """Is called with what happens; a subclass overrides what it wants to know."""

    def progress(self, what: str, done: float, total: float) -> None:
        """Of a task, `done` of `total` is done."""

    def booting(self) -> None:
        """A guest boots, so that there is time for other work."""


NOBODY = Listener()
_LISTENER: ContextVar[Listener] = ContextVar("listener", default=NOBODY)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let `listener`, and nobody else, be called with what happens."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def progress(what: str, done: float, total: float = 100) -> None:
    """Report that `done` of `total` of a task is done."""
    _LISTENER.get().progress(what, done, total)


def booting() -> None:
    """Report that a guest was started, which is time for other work."""
    _LISTENER.get().booting()


class _Part(Listener):
    """Counts a part of a task as such."""

    def __init__(self, whole: Listener, before: float, total: float) -> None:
        self._whole = whole
        self._before = before
        self._total = total

    def progress(self, what: str, done: float, total: float) -> None:
        self._whole.progress(what, self._before + done, self._total)

    def booting(self) -> None:
        self._whole.booting()


@contextmanager
def part(before: float, total: float) -> Iterator[None]:
    """Report tasks as parts of one of `total`, of which `before` was done already."""
    with listening(_Part(_LISTENER.get(), before, total)):
        yield
