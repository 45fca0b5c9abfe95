# SPDX-License-Identifier: GPL-2.0-only
"""
Archives in the "newc" cpio format, which the kernel unpacks as an initramfs.

The format is described in the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst.  Time stamps, owners
and inode numbers are fixed, so that equal entries give equal bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """One file, directory or device node of an archive."""

    # Relative to the root, without a leading slash.
    path: str
    # Type and permission bits, as in struct stat.
    mode: int
    content: bytes = b""
    # Device number (major, minor) of a device node.
    device: tuple[int, int] = (0, 0)


def directory(path: str) -> Entry:
    return Entry(path, stat.S_IFDIR | 0o755)


def file(path: str, content: bytes, *, executable: bool = False) -> Entry:
    return Entry(path, stat.S_IFREG | (0o755 if executable else 0o644), content)


def character_device(path: str, major: int, minor: int) -> Entry:
    return Entry(path, stat.S_IFCHR | 0o600, device=(major, minor))


def _record(inode: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    fields = (
        inode, entry.mode, 0, 0, 1, 0, len(entry.content),
        0, 0, *entry.device, len(name), 0,
    )  # fmt: skip
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _pad(header) + _pad(entry.content)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def archive(entries: Iterable[Entry]) -> bytes:
    """Return an archive of `entries` in their order; directories must precede their files."""
    records = [_record(inode, entry) for inode, entry in enumerate(entries, 1)]
    return b"".join(records) + _record(0, Entry(_TRAILER, 0))
