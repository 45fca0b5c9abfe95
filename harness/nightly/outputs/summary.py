# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run as a table, and as JSON; the schema of that is in night.schema.json."""

from __future__ import annotations

import shlex
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import Stopped
from harness.nightly.compare import Regression, Sort
from harness.nightly.night import Report, Step
from harness.nightly.outputs import tally
from harness.nightly.store import NightlyRun, Store
from harness.nightly.unit import Done
from harness.report import summaries, terminal
from harness.report.differing import kind, sorted_groups
from harness.tracers.cell import Status
from harness.tracers.reading import Read

SCHEMA = 2
# Details of one regression that a table shows; JSON has all.
DETAILS = 3


def document(report: Report) -> dict[str, Any]:
    """Return a nightly run for JSON, without the cells that did not change."""
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
                "tracer": one.place.tracer,
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
        "survey": done.survey,
        "tracers": _tallies(done),
        "boots": done.boots,
        "seconds": done.ended - done.started,
        "kernel_errors": [error.text for error in done.kernel_errors],
        "harness_errors": done.harness_errors,
        "retried": done.retried,
        "logs": done.logs,
    }


def _tallies(done: Done) -> list[dict[str, Any]]:
    """Return for each tracer of a unit what its arguments were read as, in numbers."""
    return [
        {
            "tracer": one.tracer,
            "cells": one.cells,
            "agree": one.agree,
            "unpredicted": one.unpredicted,
            "refused": one.refused,
            "changed": one.changed,
            "reads": {read.value: one.reads[read] for read in Read if one.reads[read]},
        }
        for one in tally.tallies(done)
    ]


def _agree(done: Done) -> int:
    differ = sum(not cell.agrees for cell in done.cells)
    return done.played - differ - sum(one.status is not Status.AGREES for one in done.traced)


# Sorts of regressions, the worst first; a random signature only repeats what a cell shows
# better.
_ORDER = (Sort.KERNEL, Sort.SPLAT, Sort.VERDICT, Sort.GONE, Sort.COST, Sort.FUZZ)


def alike(regressions: Sequence[Regression]) -> list[list[Regression]]:
    """Group regressions of a kernel and a variant that differ only in numbers, worst first."""

    def key(one: Regression) -> Hashable:
        sentences = tuple(dict.fromkeys(map(kind, (_change(one), *one.details))))
        return replace(one.place, case=""), one.sort, sentences

    return sorted_groups(regressions, key, lambda one: _ORDER.index(one.sort))


def _change(one: Regression) -> str:
    return f"{one.was} -> {one.is_}" if one.was else one.is_


def show(report: Report, everything: bool = False) -> None:
    """Print the units, then regressions with their bytes, then one sentence."""
    out = terminal.console()
    terminal.print_rows(
        f"nightly run {report.night.id}: {report.night.shows}",
        ("unit", "release", "as predicted", "took", "note"),
        [row(done) for done in report.results],
    )
    groups = alike(report.regressions)
    if everything:
        groups = [[one] for group in groups for one in group]
    shown = groups if everything else groups[: terminal.KINDS]
    for first, *others in shown:
        out.print()
        more = f", and {len(others)} more like it" if others else ""
        terminal.say(f"{first.place}: {_change(first)}{more}", terminal.COMPLAINT)
        for line in summaries.few(first.details) if everything else first.details[:DETAILS]:
            terminal.say(line, depth=2)
        if others:
            terminal.say(f"like it: {terminal.some([one.place.case for one in others])}", depth=2)
    if left := groups[len(shown) :]:
        count = sum(len(group) for group in left)
        out.print()
        terminal.say(f"{count} more regressions of {len(left)} more kinds; --all prints each.")
    for line in missing(report):
        out.print()
        terminal.say(line, "yellow")
    out.print()
    terminal.say(sentence(report), "bold")


def row(done: Done) -> tuple[str, ...]:
    """Return a unit's row: name, kernel's release, how many agree, time, and a note."""
    release = done.facts.release if done.facts else "-"
    # A survey counts, and has no prediction.
    judged = f"{_agree(done)} of {done.planned}" if done.planned and not done.survey else "-"
    notes = [f"{done.survey.functions:,} functions"] if done.survey else []
    unpredicted = sum(one.status is Status.UNPREDICTED for one in done.traced)
    notes += [f"{unpredicted:,} not predicted"] if unpredicted else []
    notes += ["again after a failure of our tools"] if done.retried else []
    return done.unit, release, judged, f"{done.ended - done.started:.0f} s", "; ".join(notes)


def ended(done: Done) -> str:
    """Return a line about a unit that has just ended."""
    unit, _, judged, took, note = row(done)
    texts = (*(error.text for error in done.kernel_errors), *done.harness_errors)
    errors = [text.partition("\n")[0] for text in texts]
    came = "" if done.survey else f"{judged} as predicted" if done.planned else "nothing judged"
    parts = [came, took, note, *errors]
    return f"{time.strftime('%H:%M:%S')} {unit}: {'; '.join(filter(None, parts))}"


def step(now: Step) -> str:
    """How far a nightly run has come, in a line: what ended, and what is next."""
    count = f"{now.done} of {now.planned} units"
    came = ended(now.came) if now.came else f"{time.strftime('%H:%M:%S')} the nightly run begins"
    return f"{came} ({count}; {f'next: {now.left[0]}' if now.left else 'that was all'})"


@contextmanager
def stoppable(store: Store, night: NightlyRun, matrix: Path, *, elsewhere: bool) -> Iterator[None]:
    """
    Let a user who ends a nightly run know what is stored of it, and how to go on.

    `elsewhere` means that the store is not the default one.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        done, planned = len(store.stored(night)), len(store.units(night))
        next_ = f"Continue with: jprobe-harness {shlex.join(['nightly', str(matrix), '--resume'])}"
        if done == planned:
            next_ = "See: jprobe-harness report"
        # Do not print the URL, which may contain a password.
        same = " and the same --store" if elsewhere else ""
        stopped = Stopped(
            f"{done} of {planned} units of nightly run {night.id} are stored.", f"{next_}{same}"
        )
        for note in getattr(stop, "__notes__", ()):
            stopped.add_note(note)
        raise stopped from None


def missing(report: Report) -> Iterator[str]:
    """Yield a line for each unit that was not done, and why."""
    stored = {done.unit for done in report.results}
    for unit in report.planned:
        if unit.name not in stored:
            yield f"{unit.name}: not done"
    for done in report.results:
        for text in done.harness_errors:
            yield f"{done.unit}: {text}"


def sentence(report: Report) -> str:
    """Return the nightly run in one sentence."""
    held = (
        f"against nightly run {report.baseline.night}, accepted by {report.baseline.who}"
        f" ({report.baseline.why})"
        if report.baseline
        else "against the predictions, as no nightly run was accepted yet"
    )
    count = len(report.regressions)
    found = f"{count} regression{'' if count == 1 else 's'}" if count else "No regression"
    incomplete = "" if report.complete else " The nightly run is incomplete."
    return f"{found} {held}.{incomplete}"
