# SPDX-License-Identifier: GPL-2.0-only
"""The user's terminal, connected to a guest whose output Escapes filters."""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Any

from harness.errors import ConfigError
from harness.vm.escapes import RESTORED, Escapes

# Ctrl-], as in telnet.
ESCAPE = b"\x1d"


class Terminal:
    """
    A context manager that puts the terminal into raw mode, so that the guest gets Ctrl-C, too.

    `resized` is a descriptor that is readable once the window's size has changed.
    """

    def __init__(self, without: str) -> None:
        """Raise ConfigError where there is no terminal; `without` is a hint for that case."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ConfigError("This needs a terminal, for its input and its output.", without)
        self._input, self._output = sys.stdin.fileno(), sys.stdout.fileno()
        self._escapes = Escapes()
        self._resources = ExitStack()

    def __enter__(self) -> Terminal:
        saved = termios.tcgetattr(self._input)
        self._resources.callback(self._restore, saved)
        self.resized, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._resources.callback(os.close, self.resized)
        self._resources.callback(os.close, write)

        def on_resize(number: int, frame: FrameType | None) -> None:
            os.write(write, b".")

        self._handle(signal.SIGWINCH, on_resize)
        tty.setraw(self._input)
        self._resources.callback(self._tidy)
        return self

    def _restore(self, saved: list[Any]) -> None:
        # The terminal may have been closed.
        with suppress(termios.error):
            termios.tcsetattr(self._input, termios.TCSADRAIN, saved)

    def _handle(
        self, number: signal.Signals, handler: Callable[[int, FrameType | None], None]
    ) -> None:
        previous = signal.signal(number, handler)
        self._resources.callback(signal.signal, number, previous)

    def __exit__(self, *exception: object) -> None:
        self._resources.close()

    def _tidy(self) -> None:
        # The terminal's window may be gone.
        with suppress(OSError):
            self._put(RESTORED)

    def fileno(self) -> int:
        return self._input

    @property
    def size(self) -> tuple[int, int]:
        """The terminal's rows and columns."""
        columns, rows = os.get_terminal_size(self._output)
        # A terminal may report a size of 0.
        return rows or 24, columns or 80

    def look(self) -> tuple[int, int]:
        """Return the new size; to be called when `resized` is readable."""
        os.read(self.resized, 4096)
        return self.size

    def read(self) -> bytes:
        """Return what was typed, or nothing at the end of input."""
        return os.read(self._input, 65536)

    def write(self, text: str) -> None:
        """Write what a guest wrote, filtered."""
        self._put(self._escapes.passed(text, time.monotonic()))

    def _put(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._output, data) :]
