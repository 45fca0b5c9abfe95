# SPDX-License-Identifier: GPL-2.0-only
"""
Temporary folders and files, which are removed even if their process was killed.

Each is locked by its process while that lives.  The kernel releases the lock when the
process ends (flock(2)), so an unlocked one was left by a dead process, and is removed by
the next process that makes one.
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

# In the names of all that are locked this way; nothing with another name is ever removed.
_MARK = "own-"
_PREFIX = f"jprobe-{_MARK}"
# The prefix of those that may be renamed in their folder; the leading dot marks them incomplete.
_HIDDEN = f".tmp-{_MARK}"
# Those of this process, with the descriptors that hold their locks.
_OWNED: dict[Path, int] = {}


@contextmanager
def folder(beside: Path | None = None) -> Iterator[Path]:
    """Make a folder for this user only, below TMPDIR or in `beside`; it may be renamed."""
    _reap_once()
    with stopping.held():
        made = _own_folder(beside)
    try:
        yield made
    finally:
        _remove(made)


@contextmanager
def file(beside: Path) -> Iterator[Path]:
    """Make an empty file in the folder `beside`; it may be renamed."""
    _reap_once()
    with stopping.held():
        handle, name = tempfile.mkstemp(prefix=_HIDDEN, dir=beside)
        made = Path(name)
        _OWNED[made] = handle
        # On a file system without locks, nothing is removed as a dead process's either.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield made
    finally:
        _remove(made)


def adopt(path: Path) -> None:
    """Take over what has replaced a folder of this process under the folder's name."""
    handle = _opened(path)
    if handle is None:
        # It is a link, for example.
        _delete(path)
        return
    _lock(handle)
    os.close(_OWNED[path])
    _OWNED[path] = handle


def hold(path: Path) -> int | None:
    """Lock a path, so that it is kept until the returned descriptor is closed; None if it fails."""
    handle = _opened(path)
    if handle is not None:
        _lock(handle)
    return handle


def is_held(path: Path) -> bool:
    """Return whether a living process holds a path."""
    handle = _opened(path)
    if handle is None:
        return False
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def clear() -> None:
    """Remove everything that this process still has, before it ends."""
    for path in list(_OWNED):
        _remove(path)


def reap(*folders: Path) -> None:
    """Remove what this user's killed processes left in some folders."""
    for place in folders:
        # There may be thousands of others.
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith((_PREFIX, _HIDDEN)):
                    _reap(Path(entry))


@functools.cache
def _reap_once() -> None:
    """Call reap() for the folders in which this program makes temporary files."""
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
            # Another process may be about to remove it, as it was not locked yet.
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
    # It may have been renamed, and is then no longer temporary.
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
    """Open a path without following a link or blocking; return None where that fails."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None


def _lock(handle: int) -> bool:
    """Lock a descriptor, and return whether that succeeded."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(path: Path, handle: int) -> bool:
    """Return whether a path still names the open file."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return os.path.samestat(found, os.fstat(handle))
