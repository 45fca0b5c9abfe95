# SPDX-License-Identifier: GPL-2.0-only
"""A place for each fault, made from one run in which nothing is wrong."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.host import cache
from tests.faults.place import Place, adopt_orphans

# The command that runs with each fault, unless the fault names another: three cells.
COMMAND = (
    "repro", "--case", "stack-9",
    "--variant", "none", "--variant", "fixed-64", "--variant", "fixed-128",
)  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def orphans() -> None:
    adopt_orphans()


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Return the logs of a run in which nothing is wrong; it has filled the user's cache.

    Its kernel is the archive's newest, so that what is damaged in it can be made anew.
    """
    state = tmp_path_factory.mktemp("sound")
    done = subprocess.run(
        ["jprobe-harness", *COMMAND, "--cold", "--refresh"],
        capture_output=True,
        text=True,
        timeout=1800,
        env=os.environ | {"XDG_STATE_HOME": str(state)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = state.glob("jprobe-harness/runs/*/")
    return folder


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory, sound: Path) -> Path:
    """Return a cache for this session, as that run left it."""
    place = Place(tmp_path_factory.mktemp("ready"), cache.root(), [])
    place.have_own_cache()
    place.have_modules()
    return place.cache.parent


@pytest.fixture
def place(tmp_path: Path, sound: Path, ready: Path) -> Place:
    return Place(tmp_path, cache.root(), [*COMMAND], sound, ready)
