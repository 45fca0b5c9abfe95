# SPDX-License-Identifier: GPL-2.0-only
"""
Reads files that the user names, which must be regular and not too large.

A device, a socket or a pipe without a writer would block for ever, and a disk image that was
named by mistake would take all memory.
"""

from __future__ import annotations

import functools
import os
import select
import stat
from pathlib import Path

from harness.errors import ConfigError
from harness.host import blame, home
from harness.host.deadline import Deadline

MIB = 1 << 20
# How long a pipe may take to be written from its first byte to its last.
PIPE_SECONDS = 60.0
_CHUNK = 1 << 16
_CHECK = "Check that it is the file that you mean."
_KINDS = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
          (stat.S_ISBLK, "a device"))  # fmt: skip


def read(path: Path, most: int, *, pipe: bool = False) -> bytes:
    """
    Return the content of a file of at most `most` bytes; with `pipe` it may be a pipe.

    Raises ConfigError for any other file, and the errors of blame.unreadable().
    """
    try:
        _check(path, path.stat(), most, pipe)
        # O_NONBLOCK, so that opening a pipe does not wait for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _taken(path, handle, most)
        finally:
            os.close(handle)
    except OSError as error:
        raise blame.unreadable(path, error) from error


@functools.cache
def read_once(name: str, most: int) -> bytes:
    """Return a file's content as it was at the first read, since a pipe is read only once."""
    return read(home.expanded(name), most, pipe=True)


def check(path: Path, most: int) -> None:
    """Check a file that another program will read; raise the errors of read()."""
    try:
        _check(path, path.stat(), most, pipe=False)
    except OSError as error:
        raise blame.unreadable(path, error) from error


def _check(path: Path, status: os.stat_result, most: int, pipe: bool) -> None:
    if pipe and stat.S_ISFIFO(status.st_mode):
        return
    for is_kind, kind in _KINDS:
        if is_kind(status.st_mode):
            raise ConfigError(f"{path} is {kind}, not a regular file.", "Give the file itself.")
    if status.st_size > most and stat.S_ISREG(status.st_mode):
        raise too_large(path, most, f"it has {status.st_size:,}")


def too_large(path: Path, most: int, why: str) -> ConfigError:
    """Return the error for a file that is too large, or unpacks to too much."""
    return ConfigError(
        f"{path} is too large: of such a file at most {most:,} bytes are read, and {why}.", _CHECK
    )


def _taken(path: Path, handle: int, most: int) -> bytes:
    deadline = Deadline(PIPE_SECONDS)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    taken = bytearray()
    while len(taken) <= most:
        if not poll.poll(1000 * deadline.left):
            raise ConfigError(
                f"{path}: this pipe was not written to its end within {PIPE_SECONDS:.0f} s.",
                "Write it to a file first, and give that.",
            )
        piece = os.read(handle, _CHUNK)
        if not piece:
            return bytes(taken)
        taken += piece
    # The file has grown in the meantime, or its size was not known.
    raise too_large(path, most, "it has more")
