# SPDX-License-Identifier: GPL-2.0-only
"""The cells of tracers for people: as few words as there are tracers and cases, then the bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.text import Text

from harness.report import real_report, summaries
from harness.report.terminal import (
    COMPLAINT,
    DIFFERS,
    INTACT,
    MISMATCH,
    console,
    print_rows,
    say,
    some,
)
from harness.report.tracers import words
from harness.tracers.cell import Cell, Status, described
from harness.tracers.reading import Read
from harness.tracing.run import Tracing

# Cells that are not as predicted, and are printed without --all.
ROWS = 10
# Cells that are printed byte by byte.
DUMPS = 4
# Cases of one tracer that have a row each without --all.
CASES = 24
# Octets of an argument in a row on a terminal of this width or more, and on others.
WIDE, OCTETS, OCTETS_NARROW = 120, 16, 8
# Octets of an argument that are printed.
OCTETS_MAX = 256


def show(found: Sequence[Tracing], everything: bool = False) -> None:
    """Print the cells in the shortest table, what is changed, and what is not as predicted."""
    tracers = list(dict.fromkeys(words.name(cell) for one in found for cell in one.cells))
    cases = list(dict.fromkeys(cell.case.name for one in found for cell in one.cells))
    cells = sum(len(one.cells) for one in found)
    if len(tracers) == 1 and len(cases) > 1:
        _print_cases(found, tracers[0], cases, everything)
    elif len(cases) == 1 and (len(tracers) > 1 or len(found) > 1):
        _print_tracers(found, tracers, cases[0])
    elif cells > 1:
        if len(found) > 1:
            _print_kernels(found, tracers)
        if len(found) == 1 or everything:
            for one in found:
                _print_counts(one)
    _print_left(found)
    for one in found:
        _print_wrong(one, everything)
    if cells <= DUMPS:
        for one in found:
            for cell in one.cells:
                _print_bytes(one, cell)
    say(words.summary(found), "bold")


def _print_cases(
    found: Sequence[Tracing], tracer: str, cases: Sequence[str], everything: bool
) -> None:
    """Print a row for each case; of many, one for those that were read alike on each kernel."""
    cells = [{cell.case.name: cell for cell in one.cells} for one in found]
    rows = {case: [_short(by_case.get(case)) for by_case in cells] for case in cases}
    alike: dict[str, list[str]] = {}
    for case, row in rows.items():
        apart = everything or len(cases) <= CASES
        key = case if apart else repr([text.plain for text in row])
        alike.setdefault(key, []).append(case)
    print_rows(
        f"what {tracer} read of each argument",
        ("case", *_heads(found)),
        [(some(names), *rows[names[0]]) for names in alike.values()],
        alike=True,
    )
    console().print()


def _print_tracers(found: Sequence[Tracing], tracers: Sequence[str], case: str) -> None:
    cells = [{words.name(cell): cell for cell in one.cells} for one in found]
    signature = next(cell.case.signature for one in found for cell in one.cells)
    print_rows(
        f"what was read of each argument of {case}: {signature}",
        ("tracer", *_heads(found)),
        [(tracer, *(_short(by_name.get(tracer)) for by_name in cells)) for tracer in tracers],
        alike=True,
    )
    console().print()


def _short(cell: Cell | None) -> Text:
    if cell is None:
        return Text("not played", "bold magenta")
    text = words.in_short(cell)
    if cell.status is Status.DIFFERS:
        return Text(MISMATCH + text, DIFFERS)
    if cell.left:
        return Text(text, COMPLAINT)
    right = words.kinds(cell) == [Read.RIGHT.value]
    return Text(text, INTACT if right else "dim" if cell.seen.refused else "")


def _heads(found: Sequence[Tracing]) -> list[str]:
    return [one.release for one in found] if len(found) == 1 else [one.spec for one in found]


def _print_kernels(found: Sequence[Tracing], tracers: Sequence[str]) -> None:
    cells = [words.by_tracer(one) for one in found]
    print_rows(
        "cells as predicted, and what is in them",
        ("tracer", *_heads(found)),
        [(name, *(_tally(by_name.get(name, [])) for by_name in cells)) for name in tracers],
        alike=True,
    )
    console().print()


def _tally(cells: Sequence[Cell]) -> Text:
    if not cells:
        return Text("not played", "bold magenta")
    text = words.tally(cells)
    if any(cell.status is Status.DIFFERS for cell in cells):
        return Text(MISMATCH + text, DIFFERS)
    return Text(text, COMPLAINT if any(cell.left for cell in cells) else "")


def _print_counts(one: Tracing) -> None:
    """Print for each tracer how many arguments it read as what, with a column for what there is."""
    cells = words.by_tracer(one)
    counts = {
        name: Counter(read for cell in own for read in cell.reads) for name, own in cells.items()
    }
    reads = [read for read in Read if any(count[read] for count in counts.values())]
    print_rows(
        f"{one.release}: arguments by what each tracer read them as, and cells",
        ("tracer", *(read.value for read in reads), "cells"),
        [
            (name, *(f"{count[read]:,}" for read in reads), _notable(cells[name]))
            for name, count in counts.items()
        ],
    )
    console().print()


def _notable(cells: Sequence[Cell]) -> Text:
    status = Counter(cell.status for cell in cells)
    parts = words.notable(cells)
    parts += [f"{n} {Status.UNPREDICTED.value}" for n in (status[Status.UNPREDICTED],) if n]
    if status[Status.DIFFERS]:
        parts.insert(0, f"{status[Status.DIFFERS]} {Status.DIFFERS.value}")
        return Text(MISMATCH + ", ".join(parts), DIFFERS)
    return Text(", ".join(parts), COMPLAINT if any(cell.left for cell in cells) else "")


def _print_left(found: Sequence[Tracing]) -> None:
    """Print which arguments the functions found changed, and which functions were not called."""
    lines: dict[tuple[str, str], list[str]] = {}
    for one in found:
        for line in (*_changed(one), *_uncalled(one)):
            lines.setdefault(line, []).append(one.spec)
    for (text, style), specs in lines.items():
        say(text + (f" on {', '.join(specs)}" if len(found) > 1 else ""), style)


def _changed(one: Tracing) -> Iterator[tuple[str, str]]:
    changed: dict[str, list[str]] = {}
    for cell in one.cells:
        for index, offsets in cell.left.items():
            text = f"{cell.case.name}: argument {index}, {described(offsets)}"
            changed.setdefault(text, []).append(words.name(cell))
    for text, tracers in changed.items():
        yield f"changed by {', '.join(tracers)} in {text}", COMPLAINT


def _uncalled(one: Tracing) -> Iterator[tuple[str, str]]:
    for tracer, cells in words.by_tracer(one).items():
        if names := [cell.case.name for cell in cells if not (cell.called or cell.errors)]:
            yield f"not called with {tracer}: {some(names)}", ""


def _print_wrong(one: Tracing, everything: bool) -> None:
    shown = one.differing if everything else one.differing[:ROWS]
    for cell in shown:
        console().print()
        say(f"{MISMATCH}{words.name(cell)} x {cell.case.name} on {one.spec}", COMPLAINT)
        for sentence in summaries.few(cell.mismatches):
            say(sentence, depth=4)
    if more := len(one.differing) - len(shown):
        say(f"and {more:,} more on {one.spec} that are not as predicted; --all prints each", "bold")
    for sentence in summaries.few(list(words.complaints(one))):
        say(f"{one.spec}: {sentence}", COMPLAINT)
    for sentence in words.retries(one):
        say(f"{one.spec}: {sentence}")
    if one.lacking:
        say(f"{one.spec}: {real_report.left_out(one.lacking)}")


def _print_bytes(one: Tracing, cell: Cell) -> None:
    """Print what was passed, read and seen of each argument of a cell."""
    # A jprobe that has run before may have changed what the tracer finds.
    met = ("as found",) if any(one.found != one.value for one in cell.passed) else ()
    octets = OCTETS if console().width >= WIDE else OCTETS_NARROW
    print_rows(
        f"{one.release}: {words.name(cell)} x {cell.case.name}: {cell.case.signature}",
        ("argument", "as passed", *met, "as read", "read as", "the function saw"),
        list(_arguments(cell, octets // (1 + len(met)), bool(met))),
    )
    if cell.seen.refused:
        say(f"refused: {cell.seen.refused}", depth=2)
    say(f"{words.in_short(cell)}, {cell.status.value}", depth=2)
    console().print()


def _arguments(cell: Cell, octets: int, met: bool) -> Iterator[Sequence[str | Text]]:
    """Yield a row for each so many octets of each argument, with those that the tracer `met`."""
    for index, passed in enumerate(cell.passed):
        value = cell.seen.values[index] if index < len(cell.seen.values) else None
        read = cell.reads[index] if cell.reads else None
        style = INTACT if read is Read.RIGHT else COMPLAINT
        size = max(len(passed.value), len(value or b""))
        for start in range(0, min(size, OCTETS_MAX), octets):
            end = start + octets
            yield (
                f"{index} +{start:#x}" if start else _argument(cell, index),
                passed.value[start:end].hex(),
                *([passed.found[start:end].hex()] if met else []),
                (value or b"")[start:end].hex() or "-",
                Text(read.value, style) if read else Text(words.REFUSED, "dim"),
                _arrived(cell, index, start, end),
            )
        if size > OCTETS_MAX:
            more = f"{index} and {size - OCTETS_MAX:,} more; {summaries.ALL}"
            yield more, *[""] * (4 + met)


def _argument(cell: Cell, index: int) -> str:
    at = cell.passed[index].at
    name = f"{index} {cell.case.arguments[index].words}"
    return name if at is None else f"{name} at {at:#x}"


def _arrived(cell: Cell, index: int, start: int, end: int) -> Text:
    """Return octets as the function saw them; changed ones are in brackets too."""
    if not cell.called:
        return Text("not called")
    changed = cell.left.get(index, ())
    arrived = cell.arrived[index]
    made = Text()
    for at in range(start, min(end, len(arrived))):
        text = f"{arrived[at]:02x}"
        if at not in changed:
            made.append(text)
            continue
        first = at == start or at - 1 not in changed
        last = at == min(end, len(arrived)) - 1 or at + 1 not in changed
        made.append(f"{'[' * first}{text}{']' * last}", DIFFERS)
    return made
