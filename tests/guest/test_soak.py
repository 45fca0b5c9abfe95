# SPDX-License-Identifier: GPL-2.0-only
"""Run after run from one snapshot: none is another, and nothing is left of any."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.host import tool
from harness.kernel.kernel import Kernel
from harness.measure.bench import panic
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.run import repro
from harness.run.plan import plays

RUNS = 100
PANICS = 40
AT_ONCE = 8


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[object]]:
    """Return what lists this process's descriptors, children and temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def look() -> list[object]:
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        return [descriptors, *tool.descendants(os.getpid()), *tmp_path.iterdir()]

    return look


@pytest.fixture
def built(kernel: Kernel, catalog: Catalog) -> Modules:
    return modules.build(kernel, list(catalog.cases.values()))


@pytest.mark.full
def test_many_runs(
    kernel: Kernel, built: Modules, catalog: Catalog, held: Callable[[], list[object]]
) -> None:
    variants = catalog.select_variants(["none", "fixed-128"])
    chosen = plays(variants, catalog.select_cases(["stack-*"]))
    repro.run(kernel, built, chosen)
    before = held()
    for _ in range(RUNS):
        result = repro.run(kernel, built, chosen)
        assert (result.exit_status, result.resumed, result.boots) == (Exit.AGREES, 1, 1)
    assert held() == before


@pytest.mark.full
def test_many_panics(kernel: Kernel, built: Modules, held: Callable[[], list[object]]) -> None:
    panic.run(kernel, built)
    before = held()
    for _ in range(PANICS):
        assert panic.run(kernel, built).seconds > 0
    assert held() == before


@pytest.mark.full
def test_many_at_once(kernel: Kernel) -> None:
    """None of them takes what is slow for what hangs."""
    words = ["jprobe-harness", "repro", "--kernel", kernel.spec]
    running = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(AT_ONCE)
    ]
    for process in running:
        out, err = process.communicate(timeout=300)
        assert process.returncode == Exit.AGREES, (out, err)
