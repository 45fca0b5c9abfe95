# SPDX-License-Identifier: GPL-2.0-only
"""An audit for people: what trips tracers up, and what each of them makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from harness.measure.audit import Audit, Tally, traced
from harness.measure.survey import Function
from harness.report.survey.documents import place
from harness.report.terminal import console, print_rows, say
from harness.tracers.reading import Read
from harness.tracers.tracer import Tracer

# Functions that are printed of a kind without --all.
ROWS = 5
FACTS = {
    "functions": "whose placement is known",
    "stacked": "with stacked arguments",
    "many": "with more than six arguments",
    "shifted": "with an argument that is not in the register of its index",
    "by_reference": "with an aggregate by reference",
    "struct_stacked": "with a struct or union on the stack",
    "unknown": "not known from BTF",
}
_WRONG = (Read.ZERO, Read.ANOTHER, Read.ADDRESS, Read.TRUNCATED, Read.ABSENT)


def print_audits(audits: Sequence[Audit], everything: bool = False) -> None:
    """Print the facts of all kernels beside each other, and the tracers of each."""
    print_rows(
        "functions that tracers trip over",
        ("functions", *(one.release for one in audits)),
        [
            (shown, *(f"{asdict(one.facts)[name]:,}" for one in audits))
            for name, shown in FACTS.items()
        ],
    )
    for one in audits:
        console().print()
        print_rows(
            f"{one.release}: functions by what a tracer makes of their arguments, by rule",
            ("tracer", "right", *(read.value for read in _WRONG), "refused", "changed"),
            [_row(tally) for tally in one.tallies],
        )
        _print_worst(one.tallies, everything)
    console().print()
    say("A function counts once for each way in which an argument of its is misread.")


def _row(tally: Tally) -> tuple[str, ...]:
    counts = (f"{tally.reads.get(read, 0):,}" for read in _WRONG)
    refused = sum(tally.refused.values())
    return (
        tally.tracer.name, f"{tally.right:,}", *counts, f"{refused:,}", f"{len(tally.corrupted):,}",
    )  # fmt: skip


def _print_worst(tallies: Sequence[Tally], everything: bool) -> None:
    """Print the first functions of each kind, those that several tracers have in common once."""
    by_functions: dict[tuple[str, tuple[Function, ...]], list[str]] = {}
    for tally in tallies:
        for what, functions in (("misread", tally.worst), ("changed", tally.corrupted)):
            if functions:
                by_functions.setdefault((what, functions), []).append(tally.tracer.name)
    for (what, functions), names in by_functions.items():
        shown = functions if everything else functions[:ROWS]
        console().print()
        say(f"{what} by {', '.join(names)}", "bold")
        for one in shown:
            say(one.prototype.declared, depth=2)
        if more := len(functions) - len(shown):
            say(f"and {more:,} more; --all prints each", depth=2)


def print_function(audits: Sequence[Audit], name: str, tracers: Sequence[Tracer]) -> None:
    """Print what each tracer makes of each argument of the functions of a name."""
    for audit in audits:
        for one in audit.functions:
            if one.name == name:
                chosen = [tally for tally in audit.tallies if tally.tracer in tracers]
                title = f"{audit.release}: {one.prototype.declared}"
                heads = ("argument", "lies in", *(tally.tracer.name for tally in chosen))
                print_rows(title, heads, list(_arguments(one, chosen)))
                console().print()


def _arguments(one: Function, tallies: Sequence[Tally]) -> Iterator[tuple[str, ...]]:
    found = traced(one.placement)
    if found is None:
        return
    readings = [tally.ruled.rule(found) for tally in tallies]
    for index, parameter in enumerate(one.prototype.signature.parameters):
        words = []
        for reading in readings:
            read = "refused" if reading.refused else reading.reads[index].value
            words.append(f"{read}, changed" if index in reading.corrupts else read)
        yield parameter.declared, place(found.layout.placements[index]), *words
