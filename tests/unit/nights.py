# SPDX-License-Identifier: GPL-2.0-only
"""Nightly runs that nobody played: matrices, and what came of their units."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from harness.nightly import night
from harness.nightly.store import NightlyRun, Store
from harness.nightly.unit import (
    Cell,
    Done,
    SurveyedAggregate,
    SurveyedFunction,
    SurveyedVariant,
    SurveyResult,
    TracedCell,
    Unit,
    UnitEnvironment,
    UnitKind,
    result,
)
from harness.tracers.cell import Status
from harness.tracers.reading import Read

MATRIX = """
shows: one kernel
kernels: [debian:6.1]
variants: [none, fixed-128]
cases: ["stack-9", "stack-8"]
"""
FACTS = UnitEnvironment(
    release="6.1", version="1", key="k", engine="port", compiler="gcc", qemu="7", harness="0"
)
SURVEY = SurveyResult(
    functions=9000,
    in_registers=8000,
    stacked=700,
    by_reference=200,
    variadic=90,
    unknown=10,
    modules=3,
    unread={"it has no BTF": 2},
    histogram=[(8, 600), (144, 100)],
    variants=[
        SurveyedVariant(
            variant="none", safe=8000, unsafe=900, unknown=100, kept=8090,
            damage={"leak": 700, "by-ref": 200},
        ),
    ],
    worst=[
        SurveyedFunction(
            name="get8", module="gpu", stacked=144, prototype="int get8(int a, struct big b)"
        ),
    ],
    aggregates=[SurveyedAggregate(type="struct big", size=1024, parameters=3)],
)  # fmt: skip


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "night.yaml"
    file.write_text(text)
    return file


def cell(case: str = "stack-9", variant: str = "none", size: int = 8, **fields: Any) -> Cell:
    given: dict[str, Any] = {
        "variant": variant,
        "case": case,
        "classes": {"leak": size} if size else {},
        "agrees": True,
        "reasons": [],
        "damage": {"argument 8": [[0, size]]} if size else {},
        "looks": {"area": {"before": "00" * 8, "seen": "ff" * 8}},
    }
    return Cell(**given | fields)


def done(*cells: Cell, kernel: str = "debian:6.1", repetition: int = 1, **fields: Any) -> Done:
    unit = Unit(
        kernel=kernel,
        compiler="gcc",
        kind=UnitKind.CELLS,
        repetition=repetition,
        variants=[],
        deadline=60,
    )
    given = {"facts": FACTS, "cells": list(cells), "planned": len(cells), "played": len(cells)}
    return result(unit, 1.0, 2.0, **given | fields)


def surveyed(survey: SurveyResult | None = SURVEY, **fields: Any) -> Done:
    unit = Unit(kernel="debian:6.1", compiler="gcc", kind=UnitKind.SURVEY, variants=[], deadline=60)
    facts = replace(FACTS, compiler="", qemu="")
    counted = int(survey is not None)
    given = {"facts": facts, "survey": survey, "planned": counted, "played": counted}
    return result(unit, 1.0, 2.0, **given | fields)


def traced(tracer: str = "fexit", case: str = "stack-9", **fields: Any) -> TracedCell:
    """Return a cell of a tracer that reads nine arguments, all but the last one right."""
    given: dict[str, Any] = {
        "tracer": tracer,
        "case": case,
        "status": Status.AGREES,
        "reads": [*[Read.RIGHT] * 8, Read.ZERO],
    }
    return TracedCell(**given | fields)


def tracing(*cells: TracedCell, kernel: str = "debian:6.1", **fields: Any) -> Done:
    unit = Unit(kernel=kernel, compiler="gcc", kind=UnitKind.TRACERS, variants=[], deadline=60)
    given = {"facts": FACTS, "traced": list(cells), "planned": len(cells), "played": len(cells)}
    return result(unit, 1.0, 2.0, **given | fields)


class Works:
    """A stand-in for the process that does a unit."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, dies_after: int = 1000, logs: str = ""
    ) -> None:
        self.names: list[str] = []
        self._dies_after = dies_after
        self._logs = logs
        self._lock = threading.Lock()
        monkeypatch.setattr(night, "work", self)
        monkeypatch.setattr(night, "stop", lambda: None)

    def __call__(self, unit: Unit) -> Done:
        with self._lock:
            if len(self.names) == self._dies_after:
                raise KeyboardInterrupt
            self.names.append(unit.name)
        return done(cell(), kernel=unit.kernel, repetition=unit.repetition, logs=self._logs)


def spend(store: Store, now: NightlyRun) -> None:
    with ThreadPoolExecutor(1) as executor:
        night.spend(store, now, executor)
