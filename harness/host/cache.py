# SPDX-License-Identifier: GPL-2.0-only
"""
The cache below the XDG cache directory.

An entry is a folder that is made once, under a lock, and appears whole or not at all; two
entries with the same key must have the same content.  Whenever an entry is requested, its
files are compared with its inventory, and a damaged entry is made anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import InfrastructureError
from harness.host import home, inventory, stopping, temporary
from harness.host.lock import locked
from harness.steps import notice, step

# Longer than any run that uses an entry.
IN_USE_SECONDS = 4 * 3600
# The field of a note that has the checksum of the others.
_CHECK = "check"
# The errors of a file system that this user cannot write to.
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
# The prefix of an entry that was replaced while a process was using it.
_REPLACED = ".old-"
# include/uapi/linux/fcntl.h and fs.h
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class DamagedEntry(InfrastructureError):
    """An entry is not as it was made; entry() makes it anew."""


def root() -> Path:
    """Return the cache directory, which is created on first use."""
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


def remembered(looks: Sequence[tuple[str, os.stat_result]], read: Callable[[], str]) -> str:
    """Return the value of `read()` for files, called again only when a file has changed."""
    parts = (part for path, status in looks for part in (os.fsencode(path), inventory.look(status)))
    memo = root() / "contents" / f"{digest(*parts)}.json"
    if known := recall(memo):
        return str(known["content"])
    content = read()
    if inventory.settled(status for _, status in looks):
        # Without a note, the files are read again next time.
        with contextlib.suppress(OSError):
            note(memo, content=content)
    return content


def note(path: Path, **what: str | float) -> None:
    """Write values to a file for recall()."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        _remove(path)
    inventory.replace(path, msgspec.json.encode({_CHECK: _check(what), **what}))


def recall(path: Path) -> dict[str, Any] | None:
    """Return what was noted, or None if there is no note or, with a message, if it is damaged."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        if found.pop(_CHECK, None) == _check(found):
            return found
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError):
        pass
    notice(f"{_name(path)} is made anew: it is damaged, or of another version.")
    return None


def _check(what: dict[str, Any]) -> str:
    return digest(msgspec.json.encode(what))


def content(file: Path) -> str:
    """Return a hash of a file's content."""

    def read() -> str:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:20]

    return remembered([(str(file), file.stat())], read)


def digest(*parts: bytes | str) -> str:
    """Return a short hash of parts, in which the boundaries between parts count."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(b"%d:" % len(data) + data)
    return state.hexdigest()[:20]


def lock(name: str) -> AbstractContextManager[None]:
    """Hold a lock against other processes that use the same cache; raise InfrastructureError."""
    return locked(root() / f"{name}.lock")


def entry(
    kind: str,
    key: str,
    make: Callable[[Path], None],
    vital: Sequence[str] = inventory.EVERYTHING,
    large: Sequence[str] = (),
) -> Path:
    """
    Return the folder `kind`/`key`, made by `make(folder)` if it does not exist or is damaged.

    `vital` are patterns of the files that are compared each time; the others are compared
    when check() is called.  Of the files named in `large`, only metadata are compared.  Raises
    the errors of `make`, and InfrastructureError when the disk is full or damages what was just
    written; nothing is left behind then.
    """
    final = root() / kind / key
    fault = inventory.fault(final)
    if not fault:
        return final
    try:
        with lock(f"{kind}/{key}"):
            return _made(final, make, vital, large)
    except OSError as error:
        if error.errno not in _REFUSED or not os.path.lexists(final):
            raise
        raise InfrastructureError(
            f"{_name(final)} cannot be used, {fault}, and cannot be made anew: {error.strerror}.",
            f"Let this user write to {root()}, or set XDG_CACHE_HOME to another folder.",
        ) from error


def _made(
    final: Path, make: Callable[[Path], None], vital: Sequence[str], large: Sequence[str]
) -> Path:
    """Return the entry, and make it unless another run already has."""
    fault = inventory.fault(final)
    if not fault:
        return final
    name = _name(final)
    if os.path.lexists(final):
        notice(f"{name} is made anew: {fault}.")
    with step(f"make {name}"), scratch(final.parent) as folder:
        make(folder)
        inventory.write(folder, vital, large)
        # Other users may have permission to read the cache.
        shutil.copymode(final.parent, folder)
        _put(folder, final)
    _sweep(final.parent)
    if fault := inventory.fault(final):
        raise InfrastructureError(
            f"{name} was just made, and is damaged: {fault}.",
            f"Look after the disk of {root()}, or set XDG_CACHE_HOME to another.",
        )
    return final


def has(kind: str, key: str) -> bool:
    """Return whether entry() would find a whole entry."""
    return is_whole(root() / kind / key)


def is_whole(folder: Path) -> bool:
    """Return whether the vital files of an entry are as they were made."""
    return not inventory.fault(folder)


def check(*entries: Path) -> None:
    """Compare all files of entries; raise DamagedEntry, after which entry() makes one anew."""
    for folder in entries:
        if fault := inventory.fault_in_all(folder):
            raise DamagedEntry(
                f"{_name(folder)} is damaged: {fault}.",
                "Run the command again, which makes it anew; in a cache that cannot be written to,"
                " set XDG_CACHE_HOME to another folder.",
            )


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """
    Change a folder that is updated and not replaced; the caller must hold a lock.

    A damaged folder is emptied first, and one whose update fails is removed.
    """
    if os.path.lexists(folder) and (fault := inventory.fault(folder)):
        notice(f"{_name(folder)} is made anew: {fault}.")
        _remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        inventory.forget(folder)
        yield
        inventory.write(folder)
    except BaseException:
        _remove(folder)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def containing(path: Path) -> list[Path]:
    """Return the entry that a path lies in, or nothing, as a list."""
    if not path.is_relative_to(root()):
        return []
    return [folder for folder in (path, *path.parents) if inventory.is_noted(folder)][:1]


@contextmanager
def using(*entries: Path) -> Iterator[None]:
    """Keep the files of entries, even if another process makes an entry anew in the meantime."""
    with ExitStack() as held:
        for folder in entries:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            held.callback(os.close, handle)
            # Not every file system has locks.
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_SH)
        yield


def _is_in_use(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(handle)
    return False


def _put(folder: Path, final: Path) -> None:
    """Put a folder in an entry's place, so that users of the entry find its files at all times."""
    if not os.path.lexists(final):
        folder.rename(final)
        return
    with stopping.held():
        _exchange(folder, final)
        if folder.is_dir() and _is_in_use(folder):
            folder.rename(folder.with_name(f"{_REPLACED}{folder.name}"))
        else:
            temporary.adopt(folder)


def _exchange(one: Path, other: Path) -> None:
    """Exchange two folders' names, atomically where the file system supports that."""
    from ctypes import CDLL

    names = (os.fsencode(one), os.fsencode(other))
    if CDLL(None).renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return
    aside = one.with_name(f"{one.name}-aside")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def _sweep(parent: Path) -> None:
    """Remove entries that were replaced while in use, and are no longer in use."""
    for folder in parent.glob(f"{_REPLACED}*"):
        with contextlib.suppress(OSError):
            if not _is_in_use(folder):
                _remove(folder)


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name} in the cache"


def trim(
    kind: str, kept: int, unused_seconds: float = IN_USE_SECONDS, size: float = math.inf
) -> None:
    """Keep so many of the entries used last, or bytes; and all used within `unused_seconds`."""
    ages: dict[Path, float] = {}
    for folder in (root() / kind).glob("[!.]*/"):
        # Another run may trim too.
        with contextlib.suppress(FileNotFoundError):
            ages[folder] = time.time() - folder.stat().st_mtime
    for number, folder in enumerate(sorted(ages, key=ages.__getitem__)):
        size -= inventory.size(folder)
        excess = (number >= kept or size < 0) and ages[folder] > unused_seconds
        # A cache that this user cannot write to does not grow.
        if excess and os.access(folder.parent, os.W_OK):
            discard(folder)


def discard(folder: Path) -> None:
    """Remove an entry unless a process is using it; it is made anew on request."""
    with (
        lock(f"{folder.parent.name}/{folder.name}"),
        # Moved away first, since an entry must be whole or not exist.
        scratch(folder.parent) as gone,
        contextlib.suppress(FileNotFoundError),
    ):
        if not _is_in_use(folder):
            folder.rename(gone / folder.name)


def used(folder: Path) -> Path:
    """Record for trim() that an entry is in use, and return it."""
    # Where that cannot be recorded, nothing is trimmed either.
    with contextlib.suppress(OSError):
        os.utime(folder)
    return folder


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Make a temporary folder in `parent`, to be renamed there; raise InfrastructureError."""
    parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.folder(parent) as folder:
            yield folder
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise _unwritable(parent, error) from error
        raise
