# SPDX-License-Identifier: GPL-2.0-only
"""A process for each unit of work, and what happens if it fails."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from harness.nightly import matrix, night, worker
from harness.nightly.store import Store
from harness.nightly.unit import Done, Unit, UnitKind, result
from tests.unit.nights import MATRIX, cell, done, spend, written


def unit(**fields: Any) -> Unit:
    given: dict[str, Any] = {
        "kernel": "no/such/kernel", "compiler": "gcc", "kind": UnitKind.CELLS, "variants": [],
        "deadline": 60,
    }  # fmt: skip
    return Unit(**given | fields)


def test_a_kernel_that_cannot_be_had_costs_its_own_cells_only() -> None:
    found = worker.work(unit())
    assert found.unit == "no/such/kernel gcc cells 1"
    assert "neither a kernel image nor" in found.harness_errors[0]
    assert not found.complete


def test_a_unit_ends_at_its_deadline() -> None:
    found = worker.work(unit(deadline=0.01))
    assert "was not done within its deadline" in found.harness_errors[0]


def test_a_process_that_is_killed_is_tried_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = tmp_path / "python"
    stub.write_text("#!/bin/sh\necho last words >&2\nkill -9 $$\n")
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))
    found = worker.work(unit())
    assert found.retried == ["Its process ended with status -9. last words"]
    assert found.harness_errors == found.retried


def test_a_unit_whose_process_cannot_start_fails_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(unit: Unit) -> Done:
        if unit.repetition == 1:
            raise OSError("no setpriv")
        return done(cell(), repetition=unit.repetition)

    monkeypatch.setattr(night, "work", fails)
    wanted = matrix.load(written(tmp_path, MATRIX + "repetitions: 2\n"))
    now = store.begin(wanted)
    spend(store, now)
    first, second = night.report(store, now).results
    assert first.harness_errors == ["OSError: no setpriv"]
    assert second.complete


def test_random_signatures_end_with_a_failure() -> None:
    fuzzed = Unit(kernel="debian:6.1", compiler="gcc", kind=UnitKind.FUZZ, variants=[], deadline=1)
    assert result(fuzzed, 1.0, 2.0, planned=9, played=3, cells=[cell(agrees=False)]).complete
    assert not result(fuzzed, 1.0, 2.0, planned=9, played=3).complete
