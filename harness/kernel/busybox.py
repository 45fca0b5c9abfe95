# SPDX-License-Identifier: GPL-2.0-only
"""The arm64 busybox of every guest, from the machine's own suites whatever the kernel is."""

from __future__ import annotations

from pathlib import Path

from harness import cache
from harness.errors import ArchiveError
from harness.kernel.apt import Apt, Progress, in_suites, unpack
from harness.settings import Archive

PACKAGE = "busybox-static:arm64"


def fetch(archive: Archive, report: Progress) -> Path:
    """The program, from the cache or the archive."""
    key = cache.digest(*(f"{source.uri} {source.suites}" for source in archive.sources))

    def make(folder: Path) -> None:
        apt = Apt(folder / "apt", in_suites(archive, []), "arm64")
        apt.folder.mkdir()
        apt.update(report)
        _download(apt, folder, report)

    return cache.entry("busybox", key, make) / "root/bin/busybox"


def _download(apt: Apt, folder: Path, report: Progress) -> None:
    """The newest version of which the archive still has the file."""
    failure: ArchiveError | None = None
    for package in apt.versions(PACKAGE):
        try:
            for file in apt.download([package], folder, report):
                unpack(file, folder / "root")
                file.unlink()
            return
        except ArchiveError as error:
            failure = failure or error
    raise failure or ArchiveError(f"The archive has no {PACKAGE}.")
