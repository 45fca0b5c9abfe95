# SPDX-License-Identifier: GPL-2.0-only
"""What a nightly run remembers of tracers: how each argument was read and left, and no bytes."""

from __future__ import annotations

from harness.measure.expected import argument_name
from harness.model.predict import spans
from harness.nightly.unit import TracedCell
from harness.tracers.cell import Cell


def traced(cell: Cell) -> TracedCell:
    """Return what is stored of a cell."""
    return TracedCell(
        tracer=cell.tracer,
        case=cell.case.name,
        status=cell.status,
        refused=cell.seen.refused,
        reads=list(cell.reads),
        damage={argument_name(index): spans(at) for index, at in sorted(cell.left.items())},
        called=cell.called,
        reasons=list(cell.mismatches),
    )
