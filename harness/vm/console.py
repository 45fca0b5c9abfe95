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

TAIL_CHARACTERS = 400
# From one ping to the next.
PING_SECONDS = 1.0


class Log(Protocol):
    """Takes what is read, as it came."""

    def write(self, data: bytes) -> object: ...

    def flush(self) -> None: ...


class Console:
    """Reads the console, watches it for splats, and types on it."""

    def __init__(self, connection: socket.socket, log: Log | None = None) -> None:
        # By now the guest boots; before, its start would have waited for this import.
        from pexpect import EOF, TIMEOUT
        from pexpect.fdpexpect import fdspawn

        self._closed = (EOF, ConnectionResetError)
        self._silent = TIMEOUT
        self._spawn: Any = fdspawn(connection, use_poll=True)
        self._spawn.logfile_read = log
        # Here, as the log has each byte.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._last = ""
        # Sees what is read, too.
        self.echo: Callable[[str], object] = lambda text: None
        self.watcher = Watcher()

    def fileno(self) -> int:
        number: int = self._spawn.fileno()
        return number

    def read(self) -> str | None:
        """What has come, after it was watched; None when the line is closed."""
        text = ""
        # What came may be a part of a character.
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
        """The last lines."""
        return [line.strip() for line in self._last.splitlines()]

    def send(self, text: str) -> None:
        self._spawn.send(text)

    def send_line(self, text: str) -> None:
        self._spawn.sendline(text)

    def ping(self, seconds: float) -> bool:
        """
        Whether user space answers on the console, so that the kernel lives.

        It is asked again and again: where a CPU spins in a probe, a task may have been put
        on that CPU, and another one takes it over only when it has something else to do.
        """
        deadline = time.monotonic() + seconds
        number = time.monotonic_ns() % 10**9
        answer, last = f"pong-{number}", ""
        again = 0.0
        # The kernel may have more to say than anybody would keep.
        while (now := time.monotonic()) < deadline:
            if now >= again:
                again = now + PING_SECONDS
                try:
                    self.send_line(f"ping {number}")
                except OSError:
                    return False
            if not select.select([self], [], [], min(again, deadline) - now)[0]:
                continue
            text = self.read()
            if text is None:
                return False
            if answer in last + text:
                return True
            last = text[-len(answer) :]
        return False

    @property
    def dead(self) -> Splat | None:
        return self.watcher.dead
