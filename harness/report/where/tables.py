# SPDX-License-Identifier: GPL-2.0-only
"""Where a function's arguments lie, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.abi.places import OCTET
from harness.measure.fetch import fetched
from harness.measure.located import Located, Part, lies
from harness.report.terminal import console, print_rows


def print_functions(found: Sequence[tuple[str, Sequence[Located]]], syntax: str) -> None:
    """Print each function with the expressions of one syntax."""
    for number, (title, arguments) in enumerate(found):
        if number:
            console().print()
        rows = [row for one in arguments for row in _rows(one, syntax)]
        print_rows(title, ("argument", "bytes", "lies in", syntax), rows)


def _rows(one: Located, syntax: str) -> Iterator[tuple[str, ...]]:
    plain = len(one.parts) == 1 and not one.parts[0].path
    if not plain:
        yield one.declared, str(one.size or "-"), one.unknown or "its members:", ""
    for part in one.parts:
        yield from _part(one.declared if plain else f"  {one.name}{part.path}", part, syntax)
    if one.cut:
        yield f"  {one.name}, what follows", "", "behind that", ""


def _part(name: str, part: Part, syntax: str) -> Iterator[tuple[str, ...]]:
    for piece in part.pieces:
        size, bits = divmod(piece.width, OCTET)
        shown = f"{piece.width} bits" if bits else str(size)
        yield name, shown, lies(piece), fetched(syntax, piece)
        name = ""
