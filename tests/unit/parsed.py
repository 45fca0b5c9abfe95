# SPDX-License-Identifier: GPL-2.0-only
"""Parses each file of a case once: a command reads it once, tests make hundreds of catalogs."""

from __future__ import annotations

from pathlib import Path

from harness.cases import catalog
from harness.cases.reader import load_case
from harness.model.case import Case

_CASES: dict[object, Case] = {}


def _load_once(path: Path) -> Case:
    status = path.stat()
    key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
    if key not in _CASES:
        _CASES[key] = load_case(path)
    return _CASES[key]


def install() -> None:
    """Have all catalogs of this process share the cases."""
    catalog.load_case = _load_once  # type: ignore[attr-defined]
