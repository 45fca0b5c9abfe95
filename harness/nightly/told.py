# SPDX-License-Identifier: GPL-2.0-only
"""A night as a table, and as JSON; the schema of that is in night.schema.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from harness.nightly.night import Report
from harness.nightly.unit import Done
from harness.report import terminal

SCHEMA = 1
# Details of one regression that a table shows; JSON has all.
DETAILS = 3


def document(report: Report) -> dict[str, Any]:
    """All of it but the cells that are as they were."""
    return {
        "schema": SCHEMA,
        "night": report.night.id,
        "name": report.night.name,
        "matrix": report.night.matrix,
        "shows": report.night.shows,
        "started": report.night.started,
        "ended": report.night.ended,
        "baseline": report.baseline,
        "complete": report.complete,
        "units": [_unit(done) for done in report.results],
        "regressions": [
            {
                "sort": one.sort.value,
                "kernel": one.place.kernel,
                "compiler": one.place.compiler,
                "variant": one.place.variant,
                "case": one.place.case,
                "was": one.was,
                "is": one.is_,
                "details": one.details,
            }
            for one in report.regressions
        ],
        "exit_status": int(report.exit_status),
    }


def _unit(done: Done) -> dict[str, Any]:
    return {
        "unit": done.unit,
        "facts": done.facts,
        "planned": done.planned,
        "played": done.played,
        "agree": _agree(done),
        "costs": done.costs,
        "boots": done.boots,
        "seconds": done.ended - done.started,
        "kernel_trouble": done.kernel_trouble,
        "own_trouble": done.own_trouble,
        "retried": done.retried,
        "logs": done.logs,
    }


def _agree(done: Done) -> int:
    return done.played - sum(not cell.agrees for cell in done.cells)


def show(report: Report) -> None:
    """Units, then regressions with their bytes, then one sentence."""
    out = terminal.console()
    terminal.print_rows(
        f"night {report.night.id}: {report.night.shows}",
        ("unit", "release", "as predicted", "took", ""),
        [row(done) for done in report.results],
    )
    for one in report.regressions:
        out.print()
        change = f"{one.was} -> {one.is_}" if one.was else one.is_
        out.print(Text(f"{one.place}: {change}", "bold red"))
        for line in one.details[:DETAILS]:
            out.print(Text(f"  {line}"))
    for line in missing(report):
        out.print()
        out.print(Text(line, "yellow"))
    out.print()
    out.print(Text(sentence(report), "bold"))


def row(done: Done) -> tuple[str, ...]:
    """A unit, its kernel's release, what agrees, and what it took."""
    release = done.facts.release if done.facts else "-"
    judged = f"{_agree(done)} of {done.planned}" if done.planned else "-"
    again = "again after a failure of our tools" if done.retried else ""
    return done.unit, release, judged, f"{done.ended - done.started:.0f} s", again


def missing(report: Report) -> Iterator[str]:
    """What was not done, and why, in lines."""
    stored = {done.unit for done in report.results}
    for unit in report.planned:
        if unit.name not in stored:
            yield f"{unit.name}: not done"
    for done in report.results:
        for text in done.own_trouble:
            yield f"{done.unit}: {text}"


def sentence(report: Report) -> str:
    """What it comes to."""
    held = (
        f"against night {report.baseline.night}, accepted by {report.baseline.who}"
        f" ({report.baseline.why})"
        if report.baseline
        else "against the predictions, as no night was accepted yet"
    )
    count = len(report.regressions)
    found = f"{count} regression{'' if count == 1 else 's'}" if count else "No regression"
    incomplete = "" if report.complete else " The night is incomplete."
    return f"{found} {held}.{incomplete}"
