# SPDX-License-Identifier: GPL-2.0-only
"""
What a folder consists of, noted when it was made, to tell later whether it still does.

The note lies in the folder, in two files: of what is vital, which is looked at
whenever the folder is used, and of the rest, which may be many thousand files.
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
# More than a tick of a file system's clock.
SETTLED_SECONDS = 1
# Beside a part: how its files looked when they were last read and found whole.
_SEEN = ".seen"
_OWN = (VITAL, REST, f"{VITAL}{_SEEN}", f"{REST}{_SEEN}")
EVERYTHING = ("*",)


class Item(msgspec.Struct, frozen=True, array_like=True):
    """A file or a link."""

    # Of the content, or of the link's target, in bytes.
    size: int
    digest: str
    # "file", "program" or "link".
    kind: str


# By path below the folder.
Items = Mapping[str, Item]


def sealed(data: bytes) -> bytes:
    """Data with a checksum before it."""
    return hashlib.sha256(data).hexdigest()[:20].encode() + b"\n" + data


def unsealed(data: bytes) -> bytes | None:
    """What was sealed; None where any of it was changed or is missing."""
    _, _, content = data.partition(b"\n")
    return content if sealed(content) == data else None


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


def settled(statuses: Iterable[os.stat_result]) -> bool:
    """Whether a further change of any of the files would show in its look."""
    newest = max((status.st_ctime for status in statuses), default=0.0)
    # A file that was just written to may be again within one tick of the clock.
    return time.time() - newest > SETTLED_SECONDS


def replace(path: Path, data: bytes) -> None:
    """Replace a file in one step; whoever may read its folder may read it."""
    with temporary.file(path.parent) as file:
        file.write_bytes(data)
        file.chmod(path.parent.stat().st_mode & 0o666)
        file.replace(path)


def write(folder: Path, vital: Sequence[str] = EVERYTHING) -> None:
    """Note what is in a folder; `vital` are patterns of paths, in which * takes slashes too."""
    items = {name: _item(path) for name, path in _files(folder)}
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
    """Whether there is a note of what is in a folder, be it whole or not."""
    return (folder / VITAL).exists()


def forget(folder: Path) -> None:
    """Take the note away, so that nothing in the folder is trusted."""
    (folder / VITAL).unlink(missing_ok=True)


def fault(folder: Path) -> str:
    """
    What is wrong with what is vital in a folder, in words; empty where nothing is.

    A file is read only when it looks different from when it was last read.
    """
    vital = _read(folder, VITAL)
    if vital is None:
        return f"no {VITAL} tells what is in it"
    return next(_faults(folder, VITAL, vital), ("", ""))[1]


def fault_in_all(folder: Path) -> str:
    """
    The same for all of the folder.

    What is found is vital from then on, so that fault() finds it.
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
    """A part of the note; None where it is not whole."""
    try:
        data = unsealed((folder / part).read_bytes())
        return None if data is None else msgspec.json.decode(data, type=dict[str, Item])
    except (OSError, msgspec.DecodeError):
        return None


def _faults(folder: Path, part: str, items: Items) -> Iterator[tuple[str, str]]:
    """Names of files that are not as they were, and what is wrong with each."""
    statuses = {}
    for name, item in items.items():
        try:
            status = os.lstat(_path(folder, name))
        except OSError:
            yield name, f"{name} is missing"
            continue
        if _kind(status) != item.kind:
            yield name, f"{name} is no {item.kind}"
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
            if _item(_path(folder, name)) != item:
                yield name, f"{name} has another content"
        except OSError as error:
            yield name, f"{name} cannot be read: {error.strerror}"
    if settled(statuses.values()):
        # A folder that cannot be written to is read each time.
        with contextlib.suppress(OSError):
            replace(seen, now)


def _summary(statuses: Mapping[str, os.stat_result]) -> bytes:
    """Tells apart how files look."""
    looks = "".join(f"{name} {look(status)}\n" for name, status in statuses.items())
    return hashlib.sha256(looks.encode()).hexdigest().encode()


def _path(folder: Path, name: str) -> str:
    return f"{folder}/{os.fsdecode(name.encode('latin-1'))}"


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Names and paths of all files and links; of bytes that need not be any text."""
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
    """Empty for what has no content, such as a pipe."""
    if stat.S_ISLNK(status.st_mode):
        return "link"
    if not stat.S_ISREG(status.st_mode):
        return ""
    return "program" if status.st_mode & stat.S_IXUSR else "file"


def link_target(path: str) -> bytes:
    """Where a link leads, as it is: a Path would leave out such as "/./"."""
    return os.readlink(os.fsencode(path))  # noqa: PTH115


def _item(path: str) -> Item:
    status = os.lstat(path)
    kind = _kind(status)
    if kind == "link":
        target = link_target(path)
        return Item(len(target), hashlib.sha256(target).hexdigest()[:20], kind)
    with open(path, "rb") as file:
        return Item(status.st_size, hashlib.file_digest(file, "sha256").hexdigest()[:20], kind)
