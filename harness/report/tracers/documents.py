# SPDX-License-Identifier: GPL-2.0-only
"""The cells of tracers for programs; the JSON's schema is beside this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.abi.offsets import Offsets
from harness.model.predict import spans
from harness.tracers.cell import Cell
from harness.tracers.reading import Reading
from harness.tracing.run import Tracing

SCHEMA = 1


def document(found: Sequence[Tracing]) -> dict[str, Any]:
    """Return the cells of all kernels as a JSON document."""
    return {"schema": SCHEMA, "kernels": [_kernel(one) for one in found]}


def _kernel(one: Tracing) -> dict[str, Any]:
    return {
        "kernel": one.spec,
        "release": one.release,
        "planned": one.planned,
        "differing": len(one.differing),
        "lacking": dict(one.lacking),
        "cells": [cell_document(cell) for cell in one.cells],
        "kernel_errors": list(one.kernel_errors),
        "errors": list(one.errors),
        "retried": list(one.retried),
    }


def cell_document(cell: Cell) -> dict[str, Any]:
    """Return one cell."""
    return {
        "tracer": cell.tracer,
        "case": cell.case.name,
        "variant": cell.variant or None,
        "function": cell.case.signature,
        "status": cell.status.value,
        "mismatches": list(cell.mismatches),
        "predicted": _reading(cell.predicted) if cell.predicted else None,
        "refused": cell.seen.refused or None,
        "called": cell.called,
        "witness": None if cell.witness is None else list(cell.witness),
        "arguments": list(_arguments(cell)),
    }


def _reading(one: Reading) -> dict[str, Any]:
    return {
        "refused": one.refused or None,
        "reads": [read.value for read in one.reads],
        "changed": _changed(one.corrupts),
        "called": one.called,
    }


def _changed(by_argument: Mapping[int, Offsets]) -> dict[str, list[list[int]]]:
    return {str(index): spans(offsets) for index, offsets in by_argument.items()}


def _arguments(cell: Cell) -> Iterable[dict[str, Any]]:
    reads = cell.reads
    for index, passed in enumerate(cell.passed):
        value = cell.seen.values[index] if index < len(cell.seen.values) else None
        yield {
            "type": cell.case.arguments[index].words,
            "passed": passed.value.hex(),
            "met": passed.found.hex(),
            "copy_at": passed.at,
            "read": reads[index].value if reads else None,
            "value": None if value is None else value.hex(),
            "arrived": cell.arrived[index].hex() if cell.called else None,
            "changed": spans(cell.left.get(index, ())),
        }
