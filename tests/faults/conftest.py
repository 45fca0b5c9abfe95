# SPDX-License-Identifier: GPL-2.0-only
"""A place for each fault, from one run with nothing wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cache
from tests.faults.place import Place, adopt_orphans

# The command that every fault meets, unless a fault says otherwise: one cell.
CELL = ("repro", "--case", "stack-9", "--variant", "fixed-64")
MakePlace = Callable[[Path], Place]


@pytest.fixture(scope="session", autouse=True)
def orphans() -> None:
    adopt_orphans()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The user's cache, once a run has filled it."""
    done = subprocess.run(["jprobe-harness", *CELL], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return cache.root()


@pytest.fixture
def place(tmp_path: Path, shared: Path) -> Place:
    return Place(tmp_path, shared, [*CELL])
