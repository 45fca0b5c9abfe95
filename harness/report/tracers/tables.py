# SPDX-License-Identifier: GPL-2.0-only
"""The cells of tracers for people: a row for each tracer, what is wrong, and one cell's bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.text import Text

from harness.report.terminal import COMPLAINT, DIFFERS, INTACT, console, print_rows, say
from harness.tracers.cell import Cell, Status, described
from harness.tracers.reading import Read
from harness.tracing.run import Tracing

# In the order of the columns.
READS = tuple(Read)
# Cells of a kind that are printed without --all.
ROWS = 10
OCTETS = 32


def print_tracings(found: Sequence[Tracing], everything: bool = False) -> None:
    """Print a table for each kernel, the cells that leave an argument wrong, and what differs."""
    for one in found:
        print_rows(
            f"{one.release}: arguments by what each tracer read them as, and cells",
            ("tracer", *(read.value for read in READS), "refused", "changed", "as predicted"),
            list(_rows(one)),
        )
        _print_changed(one)
        _print_differing(one, everything)
        console().print()


def _rows(one: Tracing) -> Iterator[Sequence[str | Text]]:
    by_tracer: dict[str, list[Cell]] = {}
    for cell in one.cells:
        by_tracer.setdefault(cell.tracer, []).append(cell)
    for name, cells in by_tracer.items():
        reads = Counter(read for cell in cells for read in cell.reads)
        refused = sum(bool(cell.seen.refused) for cell in cells)
        changed = sum(bool(cell.left) for cell in cells)
        counts = (f"{reads[read]:,}" if reads[read] else "" for read in READS)
        yield name, *counts, f"{refused or ''}", _changed(changed), _agreeing(cells)


def _changed(count: int) -> Text:
    return Text(str(count), COMPLAINT) if count else Text("")


def _agreeing(cells: Sequence[Cell]) -> Text:
    count = Counter(cell.status for cell in cells)
    if unpredicted := count[Status.UNPREDICTED]:
        return Text(f"{unpredicted} not predicted", "dim")
    agree = count[Status.AGREES]
    return Text(f"{agree} of {len(cells)}", INTACT if agree == len(cells) else DIFFERS)


def _print_changed(one: Tracing) -> None:
    """Print which arguments the functions found changed."""
    by_words: dict[str, list[str]] = {}
    for cell in one.cells:
        for index, offsets in cell.left.items():
            words = f"{cell.case.name}: argument {index}, {described(offsets)}"
            by_words.setdefault(words, []).append(cell.tracer)
    for words, tracers in by_words.items():
        say(f"changed by {', '.join(tracers)} in {words}", COMPLAINT)


def _print_differing(one: Tracing, everything: bool) -> None:
    shown = one.differing if everything else one.differing[:ROWS]
    for cell in shown:
        for sentence in cell.mismatches:
            say(f"{_name(cell)}: {sentence}", DIFFERS)
    if more := len(one.differing) - len(shown):
        say(f"and {more} more that are not as predicted; --all prints each")
    for sentence in (*one.kernel_errors, *one.errors):
        say(sentence, COMPLAINT)


def _name(cell: Cell) -> str:
    beside = f" beside a jprobe under {cell.variant}" if cell.variant else ""
    return f"{cell.tracer} x {cell.case.name}{beside}"


def print_cells(found: Sequence[Tracing]) -> None:
    """Print what was read of each argument of each cell, byte by byte."""
    for one in found:
        for cell in one.cells:
            print_rows(
                f"{one.release}: {_name(cell)}: {cell.case.signature}",
                ("argument", "as passed", "as read", "read as", "as the function saw it"),
                list(_arguments(cell)),
            )
            if cell.seen.refused:
                say(f"refused: {cell.seen.refused}", depth=2)
            for sentence in cell.mismatches:
                say(sentence, DIFFERS, depth=2)
            say(cell.status.value, depth=2)
            console().print()


def _arguments(cell: Cell) -> Iterator[Sequence[str | Text]]:
    reads = cell.reads
    for index, passed in enumerate(cell.passed):
        value = cell.seen.values[index] if index < len(cell.seen.values) else None
        read = reads[index] if reads else None
        style = INTACT if read is Read.RIGHT else COMPLAINT
        at = f" at {passed.at:#x}" if passed.at is not None else ""
        yield (
            f"{index} {cell.case.arguments[index].words}",
            _octets(passed.value) + at,
            "" if value is None else _octets(value),
            Text(read.value, style) if read else "",
            _arrived(cell, index),
        )


def _arrived(cell: Cell, index: int) -> Text:
    if not cell.called:
        return Text("not called")
    changed = cell.left.get(index, ())
    made = Text()
    for at, octet in enumerate(cell.arrived[index][:OCTETS]):
        made.append(f"{octet:02x}", DIFFERS if at in changed else "")
    return made + Text(_more(cell.arrived[index]))


def _octets(data: bytes) -> str:
    return data[:OCTETS].hex() + _more(data)


def _more(data: bytes) -> str:
    return f" and {len(data) - OCTETS} more" if len(data) > OCTETS else ""
