# SPDX-License-Identifier: GPL-2.0-only
"""Entries of a cache, and how often each was made."""

from __future__ import annotations

from pathlib import Path

from harness.host import cache


def counted(kind: str, key: str, text: str = "x") -> tuple[Path, list[Path]]:
    """Take an entry of two files; return it, and where it was made meanwhile."""
    calls: list[Path] = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").write_text(text)
        (folder / "rest").write_text(text)

    return cache.entry(kind, key, make, vital=["file"]), calls
