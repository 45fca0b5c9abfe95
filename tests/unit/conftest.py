# SPDX-License-Identifier: GPL-2.0-only
"""A store of nightly runs, and one that went wrong in each way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.nightly import matrix, night
from harness.nightly.store import Store
from harness.nightly.unit import Complaint, Unit, UnitKind, result
from tests.unit.nights import FACTS, MATRIX, cell, done, written


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/history.sqlite") as opened:
        yield opened


@pytest.fixture
def report(store: Store, tmp_path: Path) -> night.Report:
    """A nightly run with a regression of each sort, and a unit of which nothing came."""
    text = MATRIX.replace("debian:6.1", "debian:6.1, debian:5.10")
    wanted = matrix.load(written(tmp_path, text + "fuzz: {count: 3}\n"))
    accepted, now = store.begin(wanted), store.begin(wanted)
    store.add(accepted, done(cell(), cell("stack-8", size=0), cell("stack-10")))
    store.add(accepted, done(cell(), kernel="debian:5.10"))
    store.accept(accepted, "me", "why not")
    complaint = Complaint(kind="BUG", title="BUG: <x> # \0y", fingerprint="f", text="",
                          case="stack-9", variant="none")  # fmt: skip
    store.add(now, done(cell(size=16), cell("stack-10"), complaints=[complaint]))
    store.add(now, done(kernel="debian:5.10", harness_errors=["No disk.\nMake room."], planned=2))
    fuzzed = Unit(kernel="debian:6.1", compiler="gcc", kind=UnitKind.FUZZ, variants=[], deadline=1)
    failure = cell("fuzz-1", agrees=False, reasons=["one byte"])
    store.add(now, result(fuzzed, 1.0, 2.0, cells=[failure], planned=3, played=3, facts=FACTS))
    return night.report(store, now)
