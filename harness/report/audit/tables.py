# SPDX-License-Identifier: GPL-2.0-only
"""An audit for people: what trips tracers up, and what each of them makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from harness.measure.audit import Audit, Tally, misread, traced
from harness.measure.survey import Function
from harness.prototypes import code
from harness.report.survey.documents import place
from harness.report.terminal import console, print_rows, say
from harness.tracers.reading import Read, Reading
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
    """Print all kernels beside each other, and then the functions that are worst in each."""
    heads = _heads(audits)
    for head, one in zip(heads, audits):
        named = one.release if head == one.release else f"{head}: {one.release}"
        say(f"{named}, from {one.source}")
    console().print()
    print_rows(
        "functions that tracers trip over",
        ("functions", *heads),
        [
            (shown, *(f"{asdict(one.facts)[name]:,}" for one in audits))
            for name, shown in FACTS.items()
        ],
    )
    console().print()
    print_rows(
        "functions by what a tracer makes of their arguments, by rule",
        ("tracer", "outcome", *heads),
        list(_outcomes(audits)),
    )
    say("A function counts once for each way in which an argument of its is misread.")
    _print_worst(heads, audits, everything)


def _heads(audits: Sequence[Audit]) -> list[str]:
    """Return what each kernel is called in a table: its spec or its release, if that is shorter."""
    short = [min(one.spec, one.release, key=len) for one in audits]
    return short if len(set(short)) == len(short) else [one.spec for one in audits]


def _outcomes(audits: Sequence[Audit]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each outcome that a tracer has in any of the kernels."""
    for name in _names(audits):
        shown = name
        counted = [_counts(tally) if (tally := _tally(one, name)) else {} for one in audits]
        for outcome in next(counts for counts in counted if counts):
            found = [counts.get(outcome) for counts in counted]
            if outcome == Read.RIGHT.value or any(found):
                cells = ("-" if count is None else f"{count:,}" for count in found)
                yield shown, outcome, *cells
                shown = ""


def _counts(tally: Tally) -> dict[str, int]:
    return {
        Read.RIGHT.value: tally.right,
        **{read.value: tally.reads.get(read, 0) for read in _WRONG},
        "refused": sum(tally.refused.values()),
        "changed": len(tally.corrupted),
    }


_Functions = tuple[Function, ...]


@dataclass(frozen=True)
class _Kind:
    """What becomes of arguments."""

    name: str
    # The functions in a tally of which an argument does, and how many of them do in a reading.
    functions: Callable[[Tally], _Functions]
    count: Callable[[Reading], int]


_KINDS = (
    _Kind("misread", lambda tally: tally.worst, misread),
    _Kind("changed", lambda tally: tally.corrupted, lambda reading: len(reading.corrupts)),
)


def _print_worst(heads: Sequence[str], audits: Sequence[Audit], everything: bool) -> None:
    """Print the worst functions by name, those that several tracers have in common once."""
    for kind in _KINDS:
        for names, tallies in _alike(audits, kind.functions):
            counts = [_counted(tally, kind) if tally else {} for tally in tallies]
            each = [name for found in counts for name in (found if everything else [*found][:ROWS])]
            shown = sorted(set(each), key=lambda n: (-max(f.get(n, 0) for f in counts), n))
            if not shown:
                continue
            console().print()
            print_rows(
                f"arguments {kind.name} by {', '.join(names)}",
                ("function", *heads),
                [(name, *(str(found.get(name, "-")) for found in counts)) for name in shown],
            )
            if more := len({name for found in counts for name in found}) - len(shown):
                say(f"and {more:,} more; --all prints each, and --function NAME its arguments")


def _alike(
    audits: Sequence[Audit], functions: Callable[[Tally], _Functions]
) -> list[tuple[list[str], list[Tally | None]]]:
    """Return the tallies of each kernel by tracers, those together that have the same functions."""
    groups: list[tuple[list[str], list[Tally | None]]] = []
    for name in _names(audits):
        tallies = [_tally(one, name) for one in audits]
        for names, others in groups:
            pairs = [(a, b) for a, b in zip(tallies, others) if a and b]
            if pairs and all(functions(a) == functions(b) for a, b in pairs):
                names.append(name)
                break
        else:
            groups.append(([name], tallies))
    return groups


def _names(audits: Sequence[Audit]) -> Iterable[str]:
    return dict.fromkeys(tally.tracer.name for one in audits for tally in one.tallies)


def _tally(audit: Audit, name: str) -> Tally | None:
    return next((tally for tally in audit.tallies if tally.tracer.name == name), None)


def _counted(tally: Tally, kind: _Kind) -> dict[str, int]:
    """Return the functions of a kind and how many arguments are; of several of a name, the most."""
    counts: dict[str, int] = {}
    for one in kind.functions(tally):
        if found := traced(one.placement):
            count = kind.count(tally.ruled.rule(found))
            counts[one.name] = max(counts.get(one.name, 0), count)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def print_function(audits: Sequence[Audit], name: str, tracers: Sequence[Tracer]) -> None:
    """Print what each tracer makes of each argument of the functions of a name."""
    for audit in audits:
        for one in audit.functions:
            if one.name == name:
                chosen = [tally for tally in audit.tallies if tally.tracer in tracers]
                _print_arguments(audit, one, chosen)
                console().print()


def _print_arguments(audit: Audit, one: Function, tallies: Sequence[Tally]) -> None:
    title = f"{audit.release}: {one.prototype.declared}"
    found = traced(one.placement)
    if found is None:
        say(title)
        say(f"Not known: {one.placement.unknown}.")
        return
    readings = {one.tracer.name: one.ruled.rule(found) for one in tallies}
    rows = []
    for index, parameter in enumerate(one.prototype.signature.parameters):
        words = (_word(reading, index) for reading in readings.values())
        rows.append((parameter.declared, place(found.layout.placements[index]), *words))
    print_rows(title, ("argument", "lies in", *readings), rows)
    refusals: dict[str, list[str]] = {}
    for tracer, reading in readings.items():
        refusals.setdefault(reading.refused, []).append(tracer)
    for why, names in refusals.items():
        if why:
            say(f"{', '.join(names)} refuse it: {why}.")
    if not one.prototype.module and (doubt := code.doubt(one.name, audit.symbols)):
        say(doubt)


def _word(reading: Reading, index: int) -> str:
    read = "refused" if reading.refused else reading.reads[index].value
    return f"{read}, changed" if index in reading.corrupts else read
