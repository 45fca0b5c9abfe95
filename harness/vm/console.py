# SPDX-License-Identifier: GPL-2.0-only
"""The guest's serial console, driven with pexpect over a unix socket."""

from __future__ import annotations

import codecs
import select
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from harness.guest.splat import Splat, Watcher
from harness.host.deadline import Deadline

TAIL_CHARACTERS = 400
# The time between two pings.
PING_SECONDS = 1.0


class Log(Protocol):
    """Takes the bytes that are read from the console, unchanged."""

    def write(self, data: bytes) -> object: ...

    def flush(self) -> None: ...


class Console:
    """Reads the console, watches it for splats, and types on it."""

    def __init__(self, connection: socket.socket, log: Log | None = None) -> None:
        # Imported here, while the guest boots, since an import at the top would delay its start.
        from pexpect import EOF, TIMEOUT
        from pexpect.fdpexpect import fdspawn

        self._closed = (EOF, ConnectionResetError)
        self._silent = TIMEOUT
        self._spawn: Any = fdspawn(connection, use_poll=True)
        self.log(log)
        # Decodes separately, so that the log has the bytes themselves.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._last = ""
        # Called with all text that is read.
        self.echo: Callable[[str], object] = lambda text: None
        self.watcher = Watcher()

    def log(self, log: Log | None) -> None:
        """Have a log get all that is read from now on."""
        self._spawn.logfile_read = log

    def fileno(self) -> int:
        number: int = self._spawn.fileno()
        return number

    def read(self) -> str | None:
        """Return what has arrived, possibly nothing, or None when the connection is closed."""
        text = ""
        # A read may end within a character.
        while not text:
            try:
                text = self._decoder.decode(self._spawn.read_nonblocking(65536, timeout=0))
            except self._closed:
                return None
            except self._silent:
                return ""
        self.watcher.feed(text)
        self._last = (self._last + text)[-TAIL_CHARACTERS:]
        self.echo(text)
        return text

    @property
    def tail(self) -> list[str]:
        """The last lines of the console's output."""
        return [line.strip() for line in self._last.splitlines()]

    def send(self, text: str) -> None:
        self._spawn.send(text)

    def send_line(self, text: str) -> None:
        self._spawn.sendline(text)

    def ping(self, seconds: float) -> bool:
        """
        Return whether user space answers on the console, so that the kernel is alive.

        The ping is repeated: where a CPU spins in a probe, the answering task may wait for that
        CPU, and moves to another one only when that one is scheduled for something else.
        """
        deadline, again = Deadline(seconds), Deadline(0)
        number = time.monotonic_ns() % 10**9
        answer, last = f"pong-{number}", ""
        # Only the end of the output is kept, since the kernel may print without end.
        while not deadline.passed:
            if again.passed:
                again = deadline.sooner(PING_SECONDS)
                try:
                    self.send_line(f"ping {number}")
                except OSError:
                    return False
            if not select.select([self], [], [], again.left)[0]:
                continue
            text = self.read()
            if text is None:
                return False
            last += text
            if answer in last:
                return True
            last = last[-len(answer) :]
        return False

    @property
    def dead(self) -> Splat | None:
        return self.watcher.dead
