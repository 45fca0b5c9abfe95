# SPDX-License-Identifier: GPL-2.0-only
"""A real kernel's sources, from the archive."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import settings
from harness.archive.apt import Apt, in_suites, unpack
from harness.host import cache, tool

PACKAGE = "linux-source-6.1"
UNPACK_SECONDS = 600


@pytest.fixture(scope="session")
def linux() -> Path:
    """Return the newest linux-source package of Debian 12, unpacked."""
    archive = settings.load().archive
    apt = Apt(cache.root() / "apt/linux-source", in_suites(archive, ["bookworm"]), "arm64")
    apt.folder.mkdir(parents=True, exist_ok=True)
    with cache.lock("apt/linux-source"):
        apt.update()
        package = apt.newest(PACKAGE)

    def make(folder: Path) -> None:
        for file in apt.download([package], folder):
            unpack(file, folder / "package")
            file.unlink()
        packed = folder / f"package/usr/src/{PACKAGE}.tar.xz"
        tool.check(["tar", "-x", "-f", packed, "-C", folder], seconds=UNPACK_SECONDS)
        packed.unlink()

    key = re.sub("[:/]", "-", package.file_stem)
    return cache.entry("linux-source", key, make) / PACKAGE
