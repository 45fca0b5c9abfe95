# SPDX-License-Identifier: GPL-2.0-only
"""
Lays out tables that are readable at every width.

Nothing is left out: lines are folded between words, and if the columns do not fit, each
row becomes a paragraph that names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

HEAD = "bold"
GAP = 2
# Words of up to this many characters are never broken; a path may be longer.
WORD = 32
# The indentation of a name's further lines, of a field, and of a field's further lines.
NAME_HANG, FIELD, FIELD_HANG = 1, 2, 4

# A sign is not separated from the word after it.
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
    Return the lines of a table for a terminal `columns` wide; with None, none is folded.

    A column may have an empty name in the header.  `alike` means that all columns but
    the first contain the same sort of thing, so that a paragraph may merge equal ones.
    """
    head = [Text(name, HEAD) for name in header]
    table = [head, *rows] if any(header) else list(rows)
    widths = [max((row[i].cell_len for row in table), default=0) for i in range(len(header))]
    if columns is None:
        # Do not pad columns to the width of a long text: a program such as grep may read this.
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
    Yield lines of at most `width` columns, broken between words.

    `first` and `hang` are the indentation of the first line and of the others; a `name`
    may be broken after a hyphen.
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
    """Return which cells of a column are names: all of the first column, and the header."""
    return [index == 0 or row == 0 for row in range(len(table))]


def _widened(least: Sequence[int], natural: Sequence[int], columns: int) -> list[int]:
    """Give spare width to the names first, then to the other columns in proportion."""
    widths = list(least)
    widths[0] += min(natural[0] - least[0], columns - _total(widths))
    spare = columns - _total(widths)
    wants = [wide - now for wide, now in zip(natural, widths)]
    for index, want in enumerate(wants):
        widths[index] += min(want, spare * want // max(1, sum(wants)))
    return widths


def _pieces(text: str, name: bool) -> list[tuple[int, int]]:
    """Return start and end of the unbreakable parts; a name may be broken after a hyphen."""
    found = []
    for word in _WORD.finditer(text):
        parts = _HYPHENED.finditer(word[0]) if name else [re.match(".*", word[0])]
        found += [(word.start() + p.start(), word.start() + p.end()) for p in parts if p]
    return found


def _least(text: Text, name: bool) -> int:
    """Return the least width at which no unbreakable part has to be broken."""
    pieces = _pieces(text.plain, name)
    hang = NAME_HANG if name and len(pieces) > 1 else 0
    sizes = (min(WORD, cell_len(text.plain[start:end])) for start, end in pieces)
    return max(sizes, default=0) + hang


def _fitting(word: str, width: int) -> int:
    """Return how many of the text's characters fit in a width, but at least one."""
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
    """Yield each row as a paragraph: its first cell, then the others with their columns' names."""
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
