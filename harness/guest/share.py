# SPDX-License-Identifier: GPL-2.0-only
"""
Folders of the host that a guest sees, as they were when it started.

Each is packed into a squashfs, which every stock kernel can mount from a virtio
disk, where few have 9p and virtiofs needs a daemon that an ordinary user cannot run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError
from harness.host import home, tool

# A virtio disk's serial has at most this many bytes.
NAME_MAX = 20
PACK_SECONDS = 900


@dataclass(frozen=True)
class Share:
    """A folder, at /mnt/NAME in the guest."""

    name: str
    folder: Path


def named(folders: Sequence[Path]) -> list[Share]:
    """Return a share for each folder, with the folder's own name; raise ConfigError."""
    shares: dict[str, Share] = {}
    for folder in folders:
        path = home.resolved(folder)
        name = re.sub(r"[^\w.-]", "_", path.name).encode()[:NAME_MAX].decode(errors="ignore")
        if not path.is_dir():
            raise ConfigError(f"{folder} cannot be shared: it is not a directory.")
        if not name.strip(".") or name in shares:
            raise ConfigError(
                f"{folder} cannot be shared under its own name.",
                "Share the folder that it lies in.",
            )
        shares[name] = Share(name, path)
    return list(shares.values())


def pack(share: Share, file: Path) -> None:
    """Write the image of a share's disk to `file`."""
    # Not compressed: it is read once, by an emulated CPU.
    plain = ("-noI", "-noD", "-noF", "-noX", "-no-xattrs", "-all-root")
    tool.check(
        ["mksquashfs", share.folder, file, *plain, "-quiet", "-no-progress"], seconds=PACK_SECONDS
    )
