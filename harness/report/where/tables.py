# SPDX-License-Identifier: GPL-2.0-only
"""Where a function's arguments lie, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.abi.places import OCTET
from harness.measure.fetch import fetched
from harness.measure.located import Entry, Located, Part, lies
from harness.report.terminal import console, print_rows, say


def print_functions(entries: Sequence[Entry], syntax: str) -> None:
    """Print each function with the expressions of one syntax."""
    for number, entry in enumerate(entries):
        if number:
            console().print()
        if entry.arguments:
            rows = [row for one in entry.arguments for row in _rows(one, syntax)]
            print_rows(entry.declared, ("argument", "bytes", "lies in", syntax), rows)
        else:
            say(entry.declared)
            say("It takes no arguments.")
        for doubt in entry.doubts:
            say(doubt, "yellow")


def _rows(one: Located, syntax: str) -> Iterator[tuple[str, ...]]:
    plain = len(one.parts) == 1 and not one.parts[0].path
    if not plain:
        size = "-" if one.size is None else str(one.size)
        yield one.declared, size, _whole(one), ""
    for part in one.parts:
        yield from _part(one.declared if plain else f"  {one.name}{part.path}", part, syntax)
    if one.cut:
        yield f"  {one.name}, what follows", "", "behind that", ""


def _whole(one: Located) -> str:
    """Return where an argument that is not one scalar lies."""
    if one.placement is None:
        return f"not known: {one.unknown}"
    return "its members:" if one.parts else "nowhere"


def _part(name: str, part: Part, syntax: str) -> Iterator[tuple[str, ...]]:
    for piece in part.pieces:
        size, bits = divmod(piece.width, OCTET)
        shown = f"{piece.width} bits" if bits else str(size)
        yield name, shown, lies(piece), fetched(syntax, piece)
        name = ""
