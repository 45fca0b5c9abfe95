# SPDX-License-Identifier: GPL-2.0-only
"""What commands print while they run: progress bars, or a log of what is done."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness import printable, steps
from harness.commands.output import STDOUT, Target, complain
from harness.errors import ConfigError
from harness.host import blame
from harness.steps import Listener


@contextmanager
def bars() -> Iterator[None]:
    """Show a bar on standard error for each long task, if that is a terminal."""
    shown = Bars()
    try:
        with steps.listening(shown):
            yield
    finally:
        shown.stop()


def say(line: str) -> None:
    """Print a line where there are no bars, such as in the log of a CI system."""
    if not sys.stderr.isatty():
        complain(line)


class Bars(Listener):
    """Progress bars on standard error."""

    shown = True

    def __init__(self) -> None:
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def progress(self, what: str, done: float, total: float) -> None:
        if not (self.shown and sys.stderr.isatty()):
            return
        # The terminal may have been closed.
        with contextlib.suppress(OSError):
            if self._bars is None:
                from harness.report import terminal

                self._bars = terminal.progress()
                self._bars.start()
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(self._tasks[what], completed=done)

    def booting(self) -> None:
        # Import what prints the results while the guest boots, which takes a second anyway.
        from harness.report import terminal  # noqa: F401

    def stop(self) -> None:
        """Remove the bars, if there are any."""
        with contextlib.suppress(OSError):
            if self._bars:
                self._bars.stop()


@contextmanager
def logged(verbosity: int, file: Target | None) -> Iterator[None]:
    """Print what is done to standard error, and write it to a file; raises ConfigError."""
    handlers: list[logging.Handler] = []
    if verbosity:
        handlers.append(logging.StreamHandler(sys.stderr))
        handlers[-1].setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)
    if file is not None:
        if file == STDOUT:
            raise ConfigError("--log-file: give a file; -v prints to standard error.")
        with blame.explaining(f"{file} cannot be written"):
            handlers.append(logging.FileHandler(file, mode="w"))
    for handler in handlers:
        handler.setFormatter(_Formatter("%(asctime)s.%(msecs)03d %(message)s", "%H:%M:%S"))
        steps.LOG.addHandler(handler)
    level = steps.LOG.level
    steps.LOG.setLevel(logging.DEBUG if handlers else level)
    # Lines would break a bar.
    Bars.shown = not verbosity
    try:
        yield
    finally:
        Bars.shown = True
        steps.LOG.setLevel(level)
        for handler in handlers:
            steps.LOG.removeHandler(handler)
            handler.close()


class _Formatter(logging.Formatter):
    """Has no escapes of whoever named what is done."""

    def format(self, record: logging.LogRecord) -> str:
        return printable.line(super().format(record))
