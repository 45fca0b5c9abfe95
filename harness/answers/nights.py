# SPDX-License-Identifier: GPL-2.0-only
"""Takes results from the store of nightly runs."""

from __future__ import annotations

from collections.abc import Iterator

from harness import fault
from harness.answers.evidence import (
    CellResult,
    CostFound,
    Evidence,
    FunctionsFound,
    Run,
    short_compiler,
    together,
    utc,
)
from harness.errors import Exit
from harness.nightly.store import NightlyRun, Store
from harness.nightly.unit import CellState, Done, UnitKind


def newest(store: Store) -> Evidence:
    """Return the results of the newest nightly run, or none if there was no such run."""
    return next((_night(store, night) for night in store.nights()), Evidence())


def _night(store: Store, night: NightlyRun) -> Evidence:
    results = store.results(night)
    done = {one.unit for one in results}
    left = [unit.name for unit in store.units(night) if unit.name not in done]
    lost = tuple(f"nightly run {night.id}, {name}: not done" for name in left)
    # Random signatures say nothing of a single case, and tracers nothing of a policy.
    others = (UnitKind.FUZZ, UnitKind.TRACERS)
    units = [one for one in results if one.kind not in others]
    return together([*(_unit(one, night) for one in units), Evidence(unjudged=lost)])


def _unit(done: Done, night: NightlyRun) -> Evidence:
    run = Run(
        command="nightly" if done.kind is UnitKind.CELLS else f"nightly, {done.kind.value}",
        where=f"nightly run {night.id}",
        kernel=done.kernel,
        release=done.facts.release if done.facts else "",
        compiler=short_compiler(done.facts.compiler if done.facts else done.compiler),
        engine=done.facts.engine if done.facts else "",
        when=utc(done.started),
        planned=done.planned,
        played=done.played,
        differ=sum(not cell.agrees for cell in done.cells),
        errors=(*(error.text for error in done.kernel_errors), *done.harness_errors),
        status=_status(done),
    )
    cells = tuple(
        CellResult(
            run,
            cell.variant,
            cell.case,
            None if cell.state is CellState.UNJUDGED else cell.classes,
            cell.agrees,
        )
        for cell in done.cells
    )
    # A cost that is not as predicted is an error of the unit's.
    wrong = {error.fingerprint for error in done.kernel_errors if error.kind == "cost"}
    costs = tuple(
        CostFound(run, cost.variant, cost.instructions, cost.variant not in wrong)
        for cost in done.costs
    )
    return Evidence(runs=(run,), cells=cells, costs=costs, functions=tuple(_counted(done, run)))


def _counted(done: Done, run: Run) -> Iterator[FunctionsFound]:
    """Yield what a survey has counted, if the unit is one that was made."""
    if done.survey:
        yield FunctionsFound(
            run,
            functions=done.survey.functions,
            stacked=dict(done.survey.histogram),
            by_reference=done.survey.by_reference,
            unknown=done.survey.unknown,
        )


def _status(done: Done) -> Exit:
    if done.kernel_errors or not all(cell.agrees for cell in done.cells):
        return Exit.DIFFERS
    if any(fault.is_reported_in(text) for text in done.harness_errors):
        return Exit.OWN_FAULT
    return Exit.AGREES if done.complete else Exit.INFRASTRUCTURE
