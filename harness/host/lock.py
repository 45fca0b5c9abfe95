# SPDX-License-Identifier: GPL-2.0-only
"""A lock against other processes, whose holder is named to those who wait."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import InfrastructureError
from harness.steps import notice

# Longer than any download that another run may be doing.
LOCK_SECONDS = 1800
# After this time a message names the lock's holder, and this much of the holder's command.
SILENT_SECONDS = 1
COMMAND_SHOWN = 200


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made where there is none; raise InfrastructureError."""
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(path)
    try:
        try:
            held.acquire(timeout=SILENT_SECONDS)
        except filelock.Timeout:
            notice(f"{path} is held by {_holder(path)}; waiting for it.")
            held.acquire(timeout=LOCK_SECONDS)
    except filelock.Timeout as error:
        raise InfrastructureError(
            f"{_holder(path)} has held {path} for {LOCK_SECONDS} s.", "Wait for it, or end it."
        ) from error
    try:
        yield
    finally:
        held.release()


def _holder(path: Path) -> str:
    """Return who holds a lock, in words, from /proc/locks (proc(5))."""
    with contextlib.suppress(OSError):
        inode = path.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            # 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF; a waiting process has an arrow.
            words = line.split()
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
                return f"PID {words[4]}{_command(words[4])}"
    return "another run"


def _command(pid: str) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        text = "".join(c if c.isprintable() else "?" for c in shlex.join(words))
        return f" ({text[:COMMAND_SHOWN]})"
    return ""
