# SPDX-License-Identifier: GPL-2.0-only
"""Commands are timed beside a bare boot, on a real kernel."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.cases.catalog import Catalog
from harness.errors import InfrastructureError
from harness.kernel.kernel import Kernel
from harness.measure.bench import panic, works
from harness.measure.bench.rounds import MIB
from harness.modules import build as modules
from harness.report.bench import tables

SCHEMA = json.loads((Path(tables.__file__).parent / "schema.json").read_text())
SECONDS = 600


def bench(kernel: Kernel, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        ["jprobe-harness", "bench", "--kernel", kernel.spec, *words, "--json=-"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    return document


def test_one_cell_and_a_panic(kernel: Kernel) -> None:
    names = ["bare", "one-cell", "start", "end", "panic"]
    found = bench(kernel, "--runs=1", *(f"--row={name}" for name in names))
    assert found["release"] == kernel.release
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == names
    assert rows["bare"]["median"] == 1
    # How fast it is depends on the machine.
    (bare,), (cell,) = rows["bare"]["seconds"], rows["one-cell"]["seconds"]
    assert rows["one-cell"]["median"] == pytest.approx(cell / bare)
    assert 0 < rows["start"]["median"] + rows["end"]["median"] < cell
    assert 0 < rows["panic"]["median"] < 10
    (memory,) = found["memory"]
    assert memory["work"] == "one-cell"
    assert 10 * MIB < memory["own"] < 150 * MIB
    assert memory["clone"] < memory["qemu"] < memory["tree"] < 1024 * MIB


def test_a_guest_that_does_not_panic_is_not_timed(
    kernel: Kernel, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panic, "CRASH", "run :")
    built = modules.build(kernel, catalog.select_cases([panic.CASE]))
    with works.own_logs(), pytest.raises(InfrastructureError, match="after a panic") as raised:
        panic.run(kernel, built)
    assert "The guest was to panic" in raised.value.hint


@pytest.mark.full
def test_every_row(kernel: Kernel) -> None:
    found = bench(kernel, "--runs=1", "--peers")
    assert all(row["values"] for row in found["rows"])
    assert all(peer["missing"] or peer["ratios"] for peer in found["peers"])
    rows = {row["name"]: row["median"] for row in found["rows"]}
    # All cells from a boot take longer than a boot, and one cell no longer than all.
    assert rows["repro-cold"] > 1
    assert rows["one-cell"] < rows["repro"]
    assert rows["real"] < rows["real-cold"]
    assert rows["memory-growth"] < 5


@pytest.mark.full
def test_the_picture_of_growth(kernel: Kernel, tmp_path: Path) -> None:
    file = tmp_path / "growth.svg"
    found = bench(kernel, f"--growth={file}", "--growth-max=1000")["growth"]
    assert [point["verdicts"] for point in found["points"]] == [1, 10, 100, 1000]
    assert found["seconds_each"] > 0
    ElementTree.parse(file)
