# SPDX-License-Identifier: GPL-2.0-only
"""
Lays tables out so that each cell can be told from its neighbours at every width.

Nothing is left out: lines are folded between words, and where the columns do not
fit, each row becomes a paragraph that names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

HEAD = "bold"
GAP = 2
# Characters of a word that is never broken; a path may be longer.
WORD = 32
# Where the further lines of a name, and of a paragraph, begin.
NAME_HANG, FIELD, FIELD_HANG = 1, 2, 4

# A sign stays with the word that it stands before.
_WORD = re.compile(r"(?:[^\w\s] )?\S+")
_HYPHENED = re.compile(r"[^-]*-+(?=[^-])|.+")


def lay_out(
    header: Sequence[str],
    rows: Sequence[Sequence[Text]],
    columns: int | None,
    *,
    alike: bool = False,
) -> list[Text]:
    """
    The lines of a table for a terminal of that width; None: they are never folded.

    An empty name in the header means that the column needs none.  `alike` says that
    all columns but the first hold the same sort of thing, so that a paragraph may
    name those together that are equal.
    """
    head = [Text(name, HEAD) for name in header]
    table = [head, *rows] if any(header) else list(rows)
    widths = [max((row[i].cell_len for row in table), default=0) for i in range(len(header))]
    if columns is None:
        # A reader such as grep is not to see the blanks that a long text leaves.
        return [_line(row, [width if width <= WORD else 0 for width in widths]) for row in table]
    if _total(widths) <= columns:
        return [_line(row, widths) for row in table]
    turned = list(_turned(header, rows, columns, alike))
    least = [max(map(_least, column, _are_names(i, table))) for i, column in enumerate(zip(*table))]
    if _total(least) > columns:
        return turned
    folded = list(_grid(table, _widened(least, widths, columns)))
    return folded if len(folded) <= len(turned) else turned


def folded(
    text: Text, width: int, *, name: bool = False, first: int = 0, hang: int = 0
) -> Iterator[Text]:
    """
    Lines of at most that width, broken between words.

    The first and the others begin so far from the left; a `name` may be broken after
    a hyphen.
    """
    plain, indent = text.plain, first
    if cell_len(plain) + indent <= width:
        yield Text(" " * indent) + text
        return
    start = end = 0
    for left, right in _pieces(plain, name):
        if end == start:
            start = left
        elif indent + cell_len(plain[start:right]) > width:
            yield Text(" " * indent) + text[start:end]
            start, indent = left, hang
        end = right
        while end - start > 1 and indent + cell_len(plain[start:end]) > width:
            cut = _fitting(plain[start:end], max(1, width - indent))
            yield Text(" " * indent) + text[start : start + cut]
            start, indent = start + cut, hang
    yield Text(" " * indent) + text[start:end]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _are_names(index: int, table: Sequence[Sequence[Text]]) -> list[bool]:
    """Of a column's cells, which are names: those of the first, and the header's."""
    return [index == 0 or row == 0 for row in range(len(table))]


def _widened(least: Sequence[int], natural: Sequence[int], columns: int) -> list[int]:
    """What is left over goes to the names, then to the others by what they would take."""
    widths = list(least)
    widths[0] += min(natural[0] - least[0], columns - _total(widths))
    spare = columns - _total(widths)
    wants = [wide - now for wide, now in zip(natural, widths)]
    for index, want in enumerate(wants):
        widths[index] += min(want, spare * want // max(1, sum(wants)))
    return widths


def _pieces(text: str, name: bool) -> list[tuple[int, int]]:
    """Where its unbreakable parts start and end; a name may be broken after a hyphen."""
    found = []
    for word in _WORD.finditer(text):
        parts = _HYPHENED.finditer(word[0]) if name else [re.match(".*", word[0])]
        found += [(word.start() + p.start(), word.start() + p.end()) for p in parts if p]
    return found


def _least(text: Text, name: bool) -> int:
    """The width below which something that must not be broken would be."""
    pieces = _pieces(text.plain, name)
    hang = NAME_HANG if name and len(pieces) > 1 else 0
    sizes = (min(WORD, cell_len(text.plain[start:end])) for start, end in pieces)
    return max(sizes, default=0) + hang


def _fitting(word: str, width: int) -> int:
    """So many of its characters stand in that width; one always does."""
    return next((n for n in range(len(word), 1, -1) if cell_len(word[:n]) <= width), 1)


def _grid(table: Sequence[Sequence[Text]], widths: Sequence[int]) -> Iterator[Text]:
    for row_number, row in enumerate(table):
        cells = []
        for index, (cell, width) in enumerate(zip(row, widths)):
            name = index == 0 or row_number == 0
            hang = NAME_HANG if index == 0 else 0
            cells.append(list(folded(cell, width, name=name, hang=hang)))
        for number in range(max(map(len, cells))):
            parts = [lines[number] if number < len(lines) else Text() for lines in cells]
            yield _line(parts, widths)


def _line(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for cell, width in zip(cells, widths):
        line.append_text(cell).append(" " * (max(0, width - cell.cell_len) + GAP))
    line.rstrip()
    return line


def _turned(
    header: Sequence[str], rows: Sequence[Sequence[Text]], columns: int, alike: bool
) -> Iterator[Text]:
    """A row as a paragraph: its first cell, then each other with its column's name."""
    for row in rows:
        title = row[0].copy()
        title.stylize(HEAD)
        yield from folded(title, columns, hang=FIELD_HANG)
        named: dict[tuple[str, str], list[str]] = {}
        cells: dict[tuple[str, str], Text] = {}
        for name, cell in zip(header[1:], row[1:]):
            if cell.plain:
                key = (cell.plain, "" if alike else name)
                named.setdefault(key, []).append(name)
                cells[key] = cell
        for key, cell in cells.items():
            names = ", ".join(name for name in named[key] if name)
            field = Text(f"{names}: " if names else "") + cell
            yield from folded(field, columns, first=FIELD, hang=FIELD_HANG)
