# SPDX-License-Identifier: GPL-2.0-only
"""
Reads files that the user gives: regular ones, of a size that such a file may have.

Anything else would be waited for for ever, or take all memory: a device, a socket, a pipe
that nobody writes to, a disk image that was named by mistake.
"""

from __future__ import annotations

import functools
import os
import select
import stat
import time
from pathlib import Path

from harness.errors import ConfigError
from harness.host import blame, home

MIB = 1 << 20
# For a pipe's writer, from its first byte to its last.
PIPE_SECONDS = 60.0
_CHUNK = 1 << 16
_CHECK = "Check that it is the file that you mean."
_KINDS = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
          (stat.S_ISBLK, "a device"))  # fmt: skip


def read(path: Path, most: int, *, pipe: bool = False) -> bytes:
    """
    What a file has, which is at most so many bytes; with `pipe`, a pipe will do.

    Raises ConfigError for what is no such file, and what blame.unreadable() makes.
    """
    try:
        _check(path, path.stat(), most, pipe)
        # Not to wait for a pipe's writer here.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _taken(path, handle, most)
        finally:
            os.close(handle)
    except OSError as error:
        raise blame.unreadable(path, error) from error


@functools.cache
def read_once(name: str, most: int) -> bytes:
    """What a file has, or had when it was read first: it may be a pipe, as of <(git diff)."""
    return read(home.expanded(name), most, pipe=True)


def check(path: Path, most: int) -> None:
    """Raise what read() does, of a file that others read."""
    try:
        _check(path, path.stat(), most, pipe=False)
    except OSError as error:
        raise blame.unreadable(path, error) from error


def _check(path: Path, status: os.stat_result, most: int, pipe: bool) -> None:
    if pipe and stat.S_ISFIFO(status.st_mode):
        return
    for is_kind, kind in _KINDS:
        if is_kind(status.st_mode):
            raise ConfigError(f"{path} is {kind}, and no regular file.", "Give the file itself.")
    if status.st_size > most and stat.S_ISREG(status.st_mode):
        raise too_large(path, most, f"it has {status.st_size:,}")


def too_large(path: Path, most: int, why: str) -> ConfigError:
    """Of a file, or of what it unpacks to."""
    return ConfigError(
        f"{path} is too large: of such a file at most {most:,} bytes are read, and {why}.", _CHECK
    )


def _taken(path: Path, handle: int, most: int) -> bytes:
    deadline = time.monotonic() + PIPE_SECONDS
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    taken = bytearray()
    while len(taken) <= most:
        if not poll.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
            raise ConfigError(
                f"{path}: nobody wrote this pipe to its end within {PIPE_SECONDS:.0f} s.",
                "Write it to a file first, and give that.",
            )
        piece = os.read(handle, _CHUNK)
        if not piece:
            return bytes(taken)
        taken += piece
    # It has grown meanwhile, or never told its size.
    raise too_large(path, most, "it has more")
