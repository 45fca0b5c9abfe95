# SPDX-License-Identifier: GPL-2.0-only
"""The cells of tracers as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from harness import printable
from harness.errors import Exit
from harness.report import real_report, summaries
from harness.report.formats.html import Numbers, template
from harness.report.tracers import documents, words
from harness.tracers.catalog import tracers
from harness.tracers.cell import Cell, Status
from harness.tracing.run import Tracing

TITLE = "What tracers read of a function's arguments"


@dataclass(frozen=True)
class Square:
    """A cell in the table of its kernel."""

    sign: str
    # The class of its colour.
    hue: str
    # In words, and the fragment that opens it.
    label: str
    link: str
    differs: bool


class _Kernel:
    """What the template shows of one kernel."""

    def __init__(self, one: Tracing, number: int) -> None:
        self.spec = one.spec
        self.release = one.release
        self.id = f"kernel-{number}"
        self.cells = words.by_tracer(one)
        self.lacking = real_report.left_out(one.lacking) if one.lacking else ""
        self.complaints = list(summaries.few(list(words.complaints(one))))
        self.retries = words.retries(one)
        self._squares = {
            (words.name(cell), cell.case.name): _square(one, cell) for cell in one.cells
        }
        self._cases = {cell.case.name: cell.case for cell in one.cells}

    def tally(self, tracer: str) -> str:
        """Return a tracer's cells in a few words, "" without any."""
        return words.tally(self.cells[tracer]) if tracer in self.cells else ""

    @property
    def rows(self) -> Iterator[tuple[str, str, list[Square | None]]]:
        """Yield each case with its signature, and a cell for each tracer."""
        for name, case in self._cases.items():
            found = [self._squares.get((tracer, name)) for tracer in self.cells]
            yield name, case.signature, found


def document(found: Sequence[Tracing]) -> str:
    """Return the HTML."""
    known = tracers()
    kernels = [_Kernel(one, number) for number, one in enumerate(found)]
    names = {words.name(cell): cell.tracer for one in found for cell in one.cells}
    status = max((one.exit_status for one in found), default=Exit.AGREES)
    unpredicted = any(cell.status is Status.UNPREDICTED for one in found for cell in one.cells)
    good = "odd" if unpredicted else "good"
    return template("harness.report.tracers", "tracers.html.j2").render(
        title=TITLE,
        sentence=words.summary(found),
        state="bad" if status is not Exit.AGREES else good,
        kernels=kernels,
        tracers={
            name: known[tracer].shows if tracer in known else "" for name, tracer in names.items()
        },
        differing=list(summaries.few(list(_differing(found)))),
        signs=words.SIGNS,
        mismatch=words.MISMATCH,
        data=printable.strings(_data(found)),
    )


def _square(one: Tracing, cell: Cell) -> Square:
    said = words.in_short(cell)
    return Square(
        words.sign(cell),
        words.hue(cell),
        f"{words.name(cell)}, {cell.case.name}: {said}, {cell.status.value}",
        "#" + urlencode({"cell": _name(one, cell)}),
        cell.status is Status.DIFFERS,
    )


def _name(one: Tracing, cell: Cell) -> str:
    return "|".join((one.spec, words.name(cell), cell.case.name))


def _differing(found: Sequence[Tracing]) -> Iterator[str]:
    for one in found:
        for cell in one.differing:
            place = f"{one.spec}, {words.name(cell)} x {cell.case.name}"
            yield from (f"{place}: {summaries.short(sentence)}" for sentence in cell.mismatches)


def _data(found: Sequence[Tracing]) -> dict[str, Any]:
    """Return what the page's script shows of a cell, each argument's bytes once."""
    arguments, details = Numbers(), Numbers()
    cells = {}
    for one in found:
        for cell in one.cells:
            whole = documents.cell_document(cell)
            detail = {
                "function": whole["function"],
                "status": whole["status"],
                "short": words.in_short(cell),
                "mismatches": whole["mismatches"],
                "refused": whole["refused"],
                "arguments": [arguments.of(argument) for argument in whole["arguments"]],
            }
            cells[_name(one, cell)] = details.of(detail)
    return {"cells": cells, "details": details.values, "arguments": arguments.values}
