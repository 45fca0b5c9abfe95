# SPDX-License-Identifier: GPL-2.0-only
"""What commands tell while they run and write when they end."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, InfrastructureError


def write(path: str, data: bytes) -> None:
    """Write a report, to standard output for "-"."""
    if path == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be written: {error.strerror}.") from error


def as_json(document: object) -> bytes:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def check_writable(options: argparse.Namespace) -> None:
    """Find out before a long run, not after it."""
    for name in ("json", "junit", "ktap", "svg", "kcidb", "mail", "annotations"):
        path = getattr(options, name, None)
        if path in (None, "-"):
            continue
        if not Path(path).resolve().parent.is_dir():
            raise ConfigError(f"{path} cannot be written: there is no such directory.")
        if Path(path).is_dir():
            raise ConfigError(f"{path} cannot be written: it is a directory.")


class Progress:
    """Progress bars, one for each thing that takes long."""

    def __init__(self, resources: ExitStack) -> None:
        self._resources = resources
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def _update(self, what: str, total: float, completed: float) -> None:
        if not sys.stderr.isatty():
            return
        if self._bars is None:
            from harness.report import terminal

            self._bars = self._resources.enter_context(terminal.progress())
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=completed)

    def say(self, line: str) -> None:
        """A line for who has no bars to look at, such as a log of a CI system."""
        if not sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)

    def percent(self, what: str, percent: float) -> None:
        self._update(what, 100, percent)

    def step(self, what: str, total: int, completed: int) -> None:
        self._update(what, total, completed)
