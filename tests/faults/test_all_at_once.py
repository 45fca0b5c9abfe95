# SPDX-License-Identifier: GPL-2.0-only
"""Every cell agrees where many things are unusual at once, on an old kernel and a new one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness.host import cache
from tests.faults.catalogue.surroundings import KBUILD, other_repository, unknown_user
from tests.faults.fault import Inject
from tests.faults.inject import environment, temporary
from tests.faults.place import SECONDS, Place

UNUSUAL: tuple[Inject, ...] = (
    temporary("my files, temporary"),
    unknown_user,
    KBUILD,
    other_repository,
    environment(LANG="C", LC_ALL="C", HOME="/proc"),
)


@pytest.fixture(params=["debian:6.1", "debian:7.2"])
def kernel(request: pytest.FixtureRequest) -> str:
    """Return a kernel that the shared cache has, with what is needed to build for it."""
    words = ["jprobe-harness", "repro", "--kernel", request.param, "--case", "stack-9"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(request.param)


@pytest.mark.full
def test_every_verdict_agrees(kernel: str, tmp_path: Path) -> None:
    place = Place(tmp_path, cache.root(), ["repro", "--kernel", kernel])
    place.have_cache(tmp_path / "my cache, large", kernel)
    place.have_build_roots()
    for inject in UNUSUAL:
        inject(place)
    ran = place.run_on_terminal(columns=80)
    assert ran.status == 0, ran.output
    cells = re.search(r"(\d+) of \1 verdicts as predicted", ran.output)
    assert cells, ran.output
    assert int(cells[1]) > 600
    assert place.left() == []
