# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run as one HTML file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import msgspec

from harness import printable
from harness.nightly import compare
from harness.nightly.compare import Place
from harness.nightly.night import Report
from harness.nightly.outputs import summary, tally
from harness.nightly.outputs.tally import Tally
from harness.nightly.store import NightlyRun
from harness.nightly.unit import Cell, Complaint, Done, UnitKind
from harness.report.formats.html import Numbers, template
from harness.report.survey.tables import DAMAGE
from harness.tracers.reading import Read

# The numbers and blanks between the names of classes.
_NUMBERS = re.compile(r"[\s\d,+]+")
# Sizes in pixels.
SPARK_WIDTH, SPARK_HEIGHT = 120, 24
# The smallest relative change of a number that is drawn at full height.
FLAT = 0.1
# How many regressions are shown at first.
SHOWN = 25


@dataclass(frozen=True)
class Past:
    """Nightly runs of one matrix, the oldest first; the last is the one that is reported."""

    nights: Sequence[NightlyRun]
    results: Sequence[Sequence[Done]]


@dataclass(frozen=True)
class Line:
    """A number over the nightly runs, drawn; None where a nightly run lacks it."""

    label: str
    values: tuple[float | None, ...]

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points to draw, in pixels from the upper left corner."""
        known = [value for value in self.values if value is not None]
        low, high = min(known, default=0), max(known, default=0)
        # Draw small changes flat.
        span = max(high - low, FLAT * high) or 1
        step = SPARK_WIDTH / max(1, len(self.values) - 1)
        return [
            (number * step, SPARK_HEIGHT - (value - low) / span * SPARK_HEIGHT)
            for number, value in enumerate(self.values)
            if value is not None
        ]


@dataclass(frozen=True)
class KernelRow:
    """A kernel's row: how many cases each variant leaves intact."""

    column: str
    release: str
    # By variant: how many cells are intact, all cells, and those not as predicted.
    counts: dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Spent:
    """A bar of the cost plot: instructions a hit, and its width in percent."""

    variant: str
    instructions: float
    saved: int
    # The percentage of the highest cost on this kernel.
    share: float
    past: Line


class _Page:
    """What the template of the page takes."""

    def __init__(self, report: Report, past: Past) -> None:
        self.report = report
        self.past = past

    @cached_property
    def cells(self) -> dict[Place, Cell]:
        """A cell for each place: of several repetitions, preferably one not as predicted."""
        found: dict[Place, Cell] = {}
        for done in self.report.results:
            cells = done.cells if done.kind is UnitKind.CELLS else []
            for cell in sorted(cells, key=lambda cell: self._order.get(cell.variant, 0)):
                place = Place(done.kernel, done.compiler, cell.variant, cell.case)
                if place not in found or not cell.agrees:
                    found[place] = cell
        return found

    @cached_property
    def _order(self) -> dict[str, int]:
        """Return variants in the order of the matrix."""
        names = dict.fromkeys(name for unit in self.report.planned for name in unit.variants)
        return {name: number for number, name in enumerate(names)}

    @cached_property
    def changed(self) -> set[Place]:
        return {one.place for one in self.report.regressions}

    @property
    def kernel_rows(self) -> Iterator[KernelRow]:
        releases = {(d.kernel, d.compiler): d.facts.release for d in self.report.results if d.facts}
        by_column: dict[tuple[str, str], dict[str, list[Cell]]] = {}
        for place, cell in self.cells.items():
            column = by_column.setdefault((place.kernel, place.compiler), {})
            column.setdefault(place.variant, []).append(cell)
        for key, variants in by_column.items():
            counts = {
                variant: (
                    sum(cell.seen == "intact" for cell in cells),
                    len(cells),
                    sum(not cell.agrees for cell in cells),
                )
                for variant, cells in variants.items()
            }
            yield KernelRow(_column(*key), releases.get(key, "-"), counts)

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(place.variant for place in self.cells))

    @property
    def costs(self) -> Iterator[tuple[str, list[Spent]]]:
        """Return the bars of the cost plot, by kernel and compiler."""
        for done in self.report.results:
            dearest = max((cost.instructions for cost in done.costs), default=0)
            spent = [
                Spent(
                    cost.variant,
                    cost.instructions,
                    cost.saved,
                    100 * cost.instructions / dearest,
                    self._cost_line(done.unit, cost.variant),
                )
                for cost in sorted(done.costs, key=lambda cost: self._order.get(cost.variant, 0))
            ]
            if spent:
                yield _column(done.kernel, done.compiler), spent

    def _cost_line(self, unit: str, variant: str) -> Line:
        values = [
            next(
                (c.instructions for d in night if d.unit == unit for c in d.costs
                 if c.variant == variant),
                None,
            )
            for night in self.past.results
        ]  # fmt: skip
        return Line("instructions a hit", tuple(values))

    @cached_property
    def surveys(self) -> list[Done]:
        """Return the units that surveyed a kernel's functions."""
        return [done for done in self.report.results if done.survey]

    @cached_property
    def traced(self) -> list[tuple[Done, list[Tally]]]:
        """Return the units that played cases under tracers, with what these read in numbers."""
        return [(done, tally.tallies(done)) for done in self.report.results if done.traced]

    @property
    def lines(self) -> list[Line]:
        """Return for each nightly run its cells, and those that differ."""
        odd = [
            sum(not cell.agrees for done in night for cell in done.cells)
            + sum(not one.agrees for done in night for one in done.traced)
            for night in self.past.results
        ]
        seconds = [sum(done.ended - done.started for done in night) for night in self.past.results]
        return [Line("cells not as predicted", tuple(odd)), Line("seconds", tuple(seconds))]

    @property
    def complaints(self) -> Iterator[tuple[Done, Complaint]]:
        """One complaint for each kernel and fingerprint, with its unit."""
        seen = set()
        for done in self.report.results:
            for complaint in done.complaints:
                key = (done.kernel, complaint.fingerprint)
                if key not in seen:
                    seen.add(key)
                    yield done, complaint

    def link(self, place: Place) -> str:
        """Return the fragment that opens a cell of this page."""
        if place not in self.cells:
            return ""
        name = [_column(place.kernel, place.compiler), place.variant, place.case]
        return "#" + urlencode({"cell": "|".join(name)})


def _column(kernel: str, compiler: str) -> str:
    return f"{kernel} {compiler}"


def kind(seen: str) -> str:
    """Return a result without its numbers: "leak+rollback" for "leak 8 rollback 1"."""
    return "+".join(word for word in _NUMBERS.split(seen) if word)


def _data(page: _Page) -> dict[str, Any]:
    """Return what the page's script draws, as JSON."""
    columns, cases, details = Numbers(), Numbers(), Numbers()
    complaints: dict[Place, list[str]] = {}
    for done in page.report.results:
        for one in done.complaints:
            place = Place(done.kernel, done.compiler, one.variant, one.case)
            complaints.setdefault(place, []).append(one.text)
    cells: list[list[int]] = []
    for place, cell in page.cells.items():
        detail = {
            "kind": kind(cell.seen),
            "seen": cell.seen,
            "agrees": cell.agrees,
            "reasons": cell.reasons,
            "damage": cell.damage,
            "looks": cell.looks,
            "picture": cell.picture,
            "console": complaints.get(place, []),
        }
        cells.append(
            [
                columns.of([_column(place.kernel, place.compiler), place.variant]),
                cases.of(place.case),
                details.of(detail),
                int(place in page.changed),
            ]
        )
    return {
        "columns": columns.values,
        "cases": cases.values,
        "details": details.values,
        "cells": cells,
        "nights": [night.id for night in page.past.nights],
        "history": {
            "|".join((_column(p.kernel, p.compiler), p.variant, p.case)): found
            for p, found in compare.changes(page.past.results).items()
            if len(found) > 1 and not p.tracer
        },
    }


def document(report: Report, past: Past) -> str:
    """Return the HTML; the report's cells must have their bytes (`looks`)."""
    page = _Page(report, past)
    return template("harness.nightly.outputs", "page.html.j2").render(
        page=page,
        data=printable.strings(msgspec.to_builtins(_data(page))),
        report=report,
        sentence=summary.sentence(report),
        rows=[summary.row(done) for done in report.results],
        missing=list(summary.missing(report)),
        shown=SHOWN,
        damage=[kind.value for kind in DAMAGE],
        reads=list(Read),
        width=SPARK_WIDTH,
        height=SPARK_HEIGHT,
    )
