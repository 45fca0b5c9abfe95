# SPDX-License-Identifier: GPL-2.0-only
"""
The cache below the XDG cache directory.

An entry is a folder that is made once, under a lock, and appears whole or not
at all; what its key does not tell apart must be the same.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness import home, temporary
from harness.errors import InfrastructureError

# Longer than any download that another run may be at.
LOCK_SECONDS = 1800
# After which a user is told what is waited for, and how much of whose command.
SILENT_SECONDS = 1
COMMAND_SHOWN = 200
# Longer than any run that an entry was given to.
IN_USE_SECONDS = 4 * 3600
# More than a tick of a file system's clock.
SETTLED_SECONDS = 1


def root() -> Path:
    """The cache directory; created on first use."""
    path = home.cache()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _unwritable(path: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(
        f"The cache cannot be written: {error.strerror}.",
        f"Make room in {path}, or set XDG_CACHE_HOME to another disk.",
    )


def look(status: os.stat_result) -> str:
    """
    What shows that a file may have changed, without a look at its content.

    Size and time of change can be had again, as by a build that clamps times; a file
    that was replaced has another inode, and one that was written to another ctime.
    """
    return repr((
        status.st_dev, status.st_ino, status.st_mode,
        status.st_size, status.st_mtime_ns, status.st_ctime_ns,
    ))  # fmt: skip


def remembered(looks: Sequence[tuple[str, os.stat_result]], read: Callable[[], str]) -> str:
    """What `read()` says of files' contents, read again only when one looks different."""
    name = digest(*(part for path, status in looks for part in (os.fsencode(path), look(status))))
    memo = root() / "digests" / f"{name}.json"
    # A power cut may leave the file empty.
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode(memo.read_bytes(), type=str)
    content = read()
    newest = max((status.st_ctime for _, status in looks), default=0.0)
    # A file that was just written to may be again within one tick of the clock.
    if time.time() - newest > SETTLED_SECONDS:
        write(memo, msgspec.json.encode(content))
    return content


def content(file: Path) -> str:
    """Tells a file's content from others', wherever it lies."""

    def read() -> str:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:20]

    return remembered([(str(file), file.stat())], read)


def digest(*parts: bytes | str) -> str:
    """A short name for content; parts are kept apart."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(b"%d:" % len(data) + data)
    return state.hexdigest()[:20]


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a lock against other processes that use the same cache."""
    import filelock

    path = root() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(path)
    try:
        try:
            held.acquire(timeout=SILENT_SECONDS)
        except filelock.Timeout:
            _tell(f"{path} is held by {_holder(path)}; waiting for it.")
            held.acquire(timeout=LOCK_SECONDS)
    except filelock.Timeout as error:
        raise InfrastructureError(
            f"{_holder(path)} has held {path} for {LOCK_SECONDS} s.", "Wait for it, or end it."
        ) from error
    try:
        yield
    finally:
        held.release()


def _tell(sentence: str) -> None:
    """Who cannot be told waits all the same."""
    with contextlib.suppress(OSError):
        print(f"jprobe-harness: {sentence}", file=sys.stderr, flush=True)


def _holder(path: Path) -> str:
    """Who holds a lock, as far as the kernel tells (proc(5), /proc/locks)."""
    with contextlib.suppress(OSError):
        inode = path.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            # 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF; who waits for it has an arrow.
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


def entry(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """
    The folder `kind`/`key`, made by `make(folder)` if it is not there yet.

    Raises whatever `make` raises, and InfrastructureError when the disk is full;
    nothing is left behind then.
    """
    final = root() / kind / key
    if final.is_dir():
        return final
    with lock(f"{kind}/{key}"):
        if final.is_dir():
            return final
        with scratch(final.parent) as folder:
            make(folder)
            folder.rename(final)
    return final


def trim(kind: str, kept: int) -> None:
    """Remove the entries that were used longest ago, but none that a run may be at."""
    ages: dict[Path, float] = {}
    for folder in (root() / kind).glob("[!.]*/"):
        # Another run may trim too.
        with contextlib.suppress(FileNotFoundError):
            ages[folder] = time.time() - folder.stat().st_mtime
    for folder in sorted(ages, key=lambda folder: ages[folder])[kept:]:
        if ages[folder] > IN_USE_SECONDS:
            discard(folder)


def discard(folder: Path) -> None:
    """Remove an entry, to be made anew when it is asked for."""
    with (
        lock(f"{folder.parent.name}/{folder.name}"),
        # Out of sight at once: an entry is whole or not there.
        scratch(folder.parent) as gone,
        contextlib.suppress(FileNotFoundError),
    ):
        folder.rename(gone / folder.name)


def used(folder: Path) -> Path:
    """Note that an entry is in use, for trim()."""
    os.utime(folder)
    return folder


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A temporary folder beside what it may be renamed to."""
    parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.folder(parent) as folder:
            yield folder
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise _unwritable(parent, error) from error
        raise


def write(path: Path, data: bytes) -> None:
    """Replace a file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary.file(path.parent) as file:
        file.write_bytes(data)
        file.replace(path)
