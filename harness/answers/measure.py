# SPDX-License-Identifier: GPL-2.0-only
"""What the measures of a claim find in results; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.answers.cells import cells_with, sizes_without
from harness.answers.claim import (
    CellsFile,
    CostFile,
    FunctionsFile,
    MeasureFile,
    SizesFile,
    StormFile,
)
from harness.answers.evidence import CostFound, Evidence, FunctionsFound, Run, StormFound
from harness.answers.found import Column, Known, Measured, matches, missing, state


def measured(name: str, file: MeasureFile, evidence: Evidence, known: Known) -> Measured:
    """Return what a measure finds in the results."""
    subject = file.subject
    match subject:
        case CellsFile():
            made = cells_with(subject, evidence.cells, known)
        case SizesFile():
            made = sizes_without(subject, evidence.cells, known)
        case FunctionsFile():
            made = _functions(subject, evidence.functions)
        case StormFile():
            made = _at_once(subject, evidence.storms)
        case CostFile():
            made = _instructions(subject, evidence.costs)
    return replace(made, name=name, counts=file.counts, command=file.command)


def _functions(file: FunctionsFile, kernels: Sequence[FunctionsFound]) -> Measured:
    newest = {one.run.column: one for one in kernels}.values()
    if not newest:
        return missing("no kernel was surveyed")
    columns = [Column(one.run, _count(file, one), one.functions) for one in newest]
    counts = "; ".join(
        f"{column.run.release}: {column.found:,} of {column.of:,} functions" for column in columns
    )
    most = max(one.most for one in newest)
    over = f"more than {file.over} bytes " if file.over else "arguments "
    words = {
        "stacked": f"{over}on the stack, the most of any {most} bytes",
        "by-reference": "an aggregate by reference",
        "unknown": "arguments whose place is not known",
    }
    found = sum(column.found for column in columns)
    return Measured(
        state=state(found),
        found=found,
        of=sum(column.of for column in columns),
        text=f"{counts} take {words[file.lie]}",
        columns=tuple(columns),
    )


def _count(file: FunctionsFile, found: FunctionsFound) -> int:
    match file.lie:
        case "stacked":
            return sum(count for size, count in found.stacked.items() if size > file.over)
        case "by-reference":
            return found.by_reference
        case "unknown":
            return found.unknown


def _at_once(file: StormFile, storms: Iterable[StormFound]) -> Measured:
    found = [storm for storm in storms if matches(storm.variant, file.variants)]
    if not found:
        return missing("there was no storm")
    shown = [storm for storm in found if storm.at_once > 1]
    hits = sum(storm.hits for storm in found)
    return Measured(
        state=state(len(shown)),
        found=len(shown),
        of=len(found),
        text=f"up to {max(storm.at_once for storm in found)} CPUs at once in {len(shown)} of"
        f" {len(found)} storms, of {hits:,} hits",
        columns=_columns([storm.run for storm in found], [storm.run for storm in shown]),
        differ=sum(not storm.agrees for storm in found),
    )


def _instructions(file: CostFile, costs: Iterable[CostFound]) -> Measured:
    found = [cost for cost in costs if matches(cost.variant, file.variants)]
    if not found:
        return missing("no cost was measured")
    by_variant: dict[str, list[float]] = {}
    for cost in found:
        by_variant.setdefault(cost.variant, []).append(cost.instructions)
    runs = [cost.run for cost in found]
    parts = [f"{name} {_span(values)}" for name, values in by_variant.items()]
    return Measured(
        state=state(len(found)),
        found=len(found),
        of=len(found),
        text=f"instructions a hit: {', '.join(parts)}",
        columns=_columns(runs, runs),
        differ=sum(not cost.agrees for cost in found),
    )


def _columns(counted: Sequence[Run], shown: Sequence[Run]) -> tuple[Column, ...]:
    names, found = [run.column for run in counted], [run.column for run in shown]
    runs = {run.column: run for run in counted}
    return tuple(Column(run, found.count(name), names.count(name)) for name, run in runs.items())


def _span(values: Sequence[float]) -> str:
    least, most = f"{min(values):,.0f}", f"{max(values):,.0f}"
    return least if least == most else f"{least} to {most}"
