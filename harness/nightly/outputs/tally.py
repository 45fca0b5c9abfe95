# SPDX-License-Identifier: GPL-2.0-only
"""What a nightly run's tracers read, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from harness.nightly.unit import Done, TracedCell
from harness.tracers.cell import Status
from harness.tracers.reading import Read


@dataclass(frozen=True)
class Tally:
    """The cells of one tracer on one kernel."""

    tracer: str
    cells: int
    # Cells as predicted, and those of which nothing is.
    agree: int
    unpredicted: int
    # Cells whose function it refused, and those whose function saw an argument changed.
    refused: int
    changed: int
    # How many arguments were read as what.
    reads: Mapping[Read, int]


def tallies(done: Done) -> list[Tally]:
    """Return those of a unit's tracers, in their order."""
    by_tracer: dict[str, list[TracedCell]] = {}
    for one in done.traced:
        by_tracer.setdefault(one.tracer, []).append(one)
    return [_tally(name, cells) for name, cells in by_tracer.items()]


def _tally(name: str, cells: list[TracedCell]) -> Tally:
    statuses = Counter(one.status for one in cells)
    return Tally(
        tracer=name,
        cells=len(cells),
        agree=statuses[Status.AGREES],
        unpredicted=statuses[Status.UNPREDICTED],
        refused=sum(bool(one.refused) for one in cells),
        changed=sum(bool(one.damage) for one in cells),
        reads=Counter(read for one in cells for read in one.reads),
    )
