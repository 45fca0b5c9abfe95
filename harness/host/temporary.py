# SPDX-License-Identifier: GPL-2.0-only
"""
Temporary folders and files, which are removed even if whoever made them was killed.

Each is locked by its process for as long as that lives.  The kernel gives up the lock
with the process (flock(2)), so what nobody holds is a dead one's, whatever its number
was; whoever makes the next one removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import ConfigError
from harness.host import home, stopping

# In the names of all that is locked so; what has another name is nobody's to remove.
_MARK = "own-"
_PREFIX = f"jprobe-{_MARK}"
# Beside what it may be renamed to, where a leading dot tells it from what is complete.
_HIDDEN = f".tmp-{_MARK}"
# Of this process, with the descriptors that hold their locks.
_OWNED: dict[Path, int] = {}


@contextmanager
def folder(beside: Path | None = None) -> Iterator[Path]:
    """A folder for this user alone, below TMPDIR or in `beside`; it may be renamed."""
    _reap_once()
    with stopping.held():
        made = _own_folder(beside)
    try:
        yield made
    finally:
        _remove(made)


@contextmanager
def file(beside: Path) -> Iterator[Path]:
    """An empty file in the folder `beside`; it may be renamed."""
    _reap_once()
    with stopping.held():
        handle, name = tempfile.mkstemp(prefix=_HIDDEN, dir=beside)
        made = Path(name)
        _OWNED[made] = handle
        # Where there are no locks, nothing is taken for a dead one's either.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield made
    finally:
        _remove(made)


def adopt(path: Path) -> None:
    """Own what bears the name of a folder of ours now, in place of what bore it before."""
    handle = _opened(path)
    if handle is None:
        # Such as a link.
        _delete(path)
        return
    _lock(handle)
    os.close(_OWNED[path])
    _OWNED[path] = handle


def hold(path: Path) -> int | None:
    """Have is_held() tell of what is to stay, until the descriptor is closed."""
    handle = _opened(path)
    if handle is not None:
        _lock(handle)
    return handle


def is_held(path: Path) -> bool:
    """Whether a process that lives holds it."""
    handle = _opened(path)
    if handle is None:
        return False
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def clear() -> None:
    """Remove all that this process still has: it is about to end."""
    for path in list(_OWNED):
        _remove(path)


def reap(*folders: Path) -> None:
    """Remove what processes that were killed left in some folders; never another user's."""
    for place in folders:
        with contextlib.suppress(OSError):
            for path in place.iterdir():
                if path.name.startswith((_PREFIX, _HIDDEN)):
                    _reap(path)


@functools.cache
def _reap_once() -> None:
    """In the places that this program has temporary files in."""
    places = [Path(tempfile.gettempdir())]
    with contextlib.suppress(OSError, ConfigError):
        places += home.cache().glob("*/")
    reap(*places)


def _own_folder(beside: Path | None) -> Path:
    while True:
        made = Path(tempfile.mkdtemp(prefix=_HIDDEN if beside else _PREFIX, dir=beside))
        handle = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Somebody may have taken it for a dead one's before it was locked.
            if error.errno == errno.EWOULDBLOCK:
                os.close(handle)
                continue
        if not _is_at(made, handle):
            os.close(handle)
            continue
        _OWNED[made] = handle
        return made


def _remove(path: Path) -> None:
    handle = _OWNED.get(path)
    if handle is None:
        return
    # It may bear another name by now, which is no longer ours.
    if _is_at(path, handle):
        _delete(path)
    if _OWNED.pop(path, None) is not None:
        os.close(handle)


def _reap(path: Path) -> None:
    handle = _opened(path)
    if handle is None:
        return
    try:
        if os.fstat(handle).st_uid == os.geteuid() and _lock(handle) and _is_at(path, handle):
            _delete(path)
    finally:
        os.close(handle)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _opened(path: Path) -> int | None:
    """Neither what a link leads to nor what opening would wait for."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None


def _lock(handle: int) -> bool:
    """Whether the lock could be had."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(path: Path, handle: int) -> bool:
    """Whether a name still leads to what is open."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return os.path.samestat(found, os.fstat(handle))
