# SPDX-License-Identifier: GPL-2.0-only
"""
Inventories: a record of a folder's files, made with the folder, to find damage later.

An inventory lies in its folder, in two files: one for the vital files, which are checked
whenever the folder is used, and one for the others, which may be many thousands.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from harness.host import temporary

VITAL = ".inventory"
REST = ".inventory.rest"
# Longer than a tick of a file system's clock.
SETTLED_SECONDS = 1
# The suffix of a file with the metadata that a part's files had when last read and found whole.
_SEEN = ".seen"
_OWN = (VITAL, REST, f"{VITAL}{_SEEN}", f"{REST}{_SEEN}")
EVERYTHING = ("*",)
_LARGE = "large"


class Item(msgspec.Struct, frozen=True, array_like=True):
    """The record of a file or a link."""

    # The size in bytes of the content, or of the link's target.
    size: int
    digest: str
    # "file", "program" or "link"; "large" for a file whose digest is of its metadata.
    kind: str


# Records by path below the folder.
Items = Mapping[str, Item]


def sealed(data: bytes) -> bytes:
    """Return data with a checksum in front."""
    return hashlib.sha256(data).hexdigest()[:20].encode() + b"\n" + data


def unsealed(data: bytes) -> bytes | None:
    """Return the data that were sealed, or None if they were changed or cut."""
    _, _, content = data.partition(b"\n")
    return content if sealed(content) == data else None


def look(status: os.stat_result) -> str:
    """
    Return the metadata that show whether a file may have changed since.

    Size and mtime alone may be the same after a change, as in a build that clamps times; but
    a file that was replaced has another inode, and one that was written to another ctime.
    """
    return repr((
        status.st_dev, status.st_ino, status.st_mode,
        status.st_size, status.st_mtime_ns, status.st_ctime_ns,
    ))  # fmt: skip


def settled(statuses: Iterable[os.stat_result]) -> bool:
    """Return whether a later change of any of the files would change its look()."""
    newest = max((status.st_ctime for status in statuses), default=0.0)
    # A file that was just written may be written again within one tick of the clock.
    return time.time() - newest > SETTLED_SECONDS


def replace(path: Path, data: bytes) -> None:
    """Replace a file atomically; it gets its folder's permissions."""
    with temporary.file(path.parent) as file:
        file.write_bytes(data)
        file.chmod(path.parent.stat().st_mode & 0o666)
        file.replace(path)


def write(folder: Path, vital: Sequence[str] = EVERYTHING, large: Sequence[str] = ()) -> None:
    """
    Write a folder's inventory; in the patterns `vital`, * matches slashes, too.

    The files named in `large` are known by their metadata, and never read.
    """
    items = {name: _large(path) if name in large else _item(path) for name, path in _files(folder)}
    chosen = {
        name: item
        for name, item in items.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in vital)
    }
    if rest := {name: item for name, item in items.items() if name not in chosen}:
        (folder / REST).write_bytes(sealed(msgspec.json.encode(rest)))
        chosen[REST] = _item(str(folder / REST))
    (folder / VITAL).write_bytes(sealed(msgspec.json.encode(chosen)))


def is_noted(folder: Path) -> bool:
    """Return whether a folder has an inventory, whether or not the folder is whole."""
    return (folder / VITAL).exists()


def forget(folder: Path) -> None:
    """Remove a folder's inventory, so that nothing in the folder is trusted."""
    (folder / VITAL).unlink(missing_ok=True)


def fault(folder: Path) -> str:
    """
    Return what is wrong with a folder's vital files, in words; empty where nothing is.

    A file is read only when its metadata have changed since it was last read.
    """
    vital = _read(folder, VITAL)
    if vital is None:
        return f"it has no {VITAL}, or a damaged one"
    return next(_faults(folder, VITAL, vital), ("", ""))[1]


def fault_in_all(folder: Path) -> str:
    """
    Return what is wrong with any file of a folder, in words; empty where nothing is.

    A file that is damaged counts as vital from then on, so that fault() reports it, too.
    """
    if found := fault(folder):
        return found
    vital = _read(folder, VITAL) or {}
    rest = _read(folder, REST) if REST in vital else {}
    if rest is None:
        return f"{REST} is not whole"
    for name, found in _faults(folder, REST, rest):
        with contextlib.suppress(OSError):
            replace(folder / VITAL, sealed(msgspec.json.encode({**vital, name: rest[name]})))
        return found
    return ""


def _read(folder: Path, part: str) -> Items | None:
    """Return a part of the inventory, or None if it is missing or damaged."""
    try:
        data = unsealed((folder / part).read_bytes())
        return None if data is None else msgspec.json.decode(data, type=dict[str, Item])
    except (OSError, msgspec.DecodeError):
        return None


def _faults(folder: Path, part: str, items: Items) -> Iterator[tuple[str, str]]:
    """Yield the name of each file that has changed, and what is wrong with it."""
    statuses = {}
    for name, item in items.items():
        try:
            status = os.lstat(_path(folder, name))
        except OSError:
            yield name, f"{name} is missing"
            continue
        kind = "file" if item.kind == _LARGE else item.kind
        if _kind(status) != kind:
            yield name, f"{name} is no {kind}"
        elif status.st_size != item.size:
            yield name, f"{name} has {status.st_size} bytes, not {item.size}"
        statuses[name] = status
    seen = folder / f"{part}{_SEEN}"
    now = _summary(statuses)
    with contextlib.suppress(OSError):
        if seen.read_bytes() == now:
            return
    for name, item in items.items():
        try:
            make = _large if item.kind == _LARGE else _item
            if make(_path(folder, name)) != item:
                yield name, f"{name} has other content"
        except OSError as error:
            yield name, f"{name} cannot be read: {error.strerror}"
    if settled(statuses.values()):
        # Where this cannot be recorded, the files are read each time.
        with contextlib.suppress(OSError):
            replace(seen, now)


def _summary(statuses: Mapping[str, os.stat_result]) -> bytes:
    """Return a hash of files' names and metadata."""
    looks = "".join(f"{name} {look(status)}\n" for name, status in statuses.items())
    return hashlib.sha256(looks.encode()).hexdigest().encode()


def _path(folder: Path, name: str) -> str:
    return f"{folder}/{os.fsdecode(name.encode('latin-1'))}"


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name, decoded as Latin-1, and the path of each file and link in a folder."""
    stack = [str(folder)]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = os.fsencode(os.path.relpath(entry.path, folder)).decode("latin-1")
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                elif name not in _OWN and _kind(entry.stat(follow_symlinks=False)):
                    yield name, entry.path


def _kind(status: os.stat_result) -> str:
    """Return a file's kind, as in Item; empty for one without content, such as a pipe."""
    if stat.S_ISLNK(status.st_mode):
        return "link"
    if not stat.S_ISREG(status.st_mode):
        return ""
    return "program" if status.st_mode & stat.S_IXUSR else "file"


def link_target(path: str) -> bytes:
    """Return a link's target unchanged; a Path would drop parts such as "/./"."""
    return os.readlink(os.fsencode(path))  # noqa: PTH115


def _item(path: str) -> Item:
    status = os.lstat(path)
    kind = _kind(status)
    if kind == "link":
        target = link_target(path)
        return Item(len(target), hashlib.sha256(target).hexdigest()[:20], kind)
    with open(path, "rb") as file:
        return Item(status.st_size, hashlib.file_digest(file, "sha256").hexdigest()[:20], kind)


def _large(path: str) -> Item:
    status = os.lstat(path)
    return Item(status.st_size, hashlib.sha256(look(status).encode()).hexdigest()[:20], _LARGE)


def size(folder: Path) -> int:
    """Return the disk space of a folder's files, in bytes; a sparse file has less than its size."""
    found = 0
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            found += file.stat().st_blocks * 512
    return found
