# SPDX-License-Identifier: GPL-2.0-only
"""
Counts cells; pure.

A counterexample counts wherever it was found.  That there is none counts only if all that could
be one was played: each case of the catalogue that the measure is about, under each variant.
Cases on functions of a kernel's own count where there are such functions.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.answers.claim import CellsFile, SizesFile
from harness.answers.evidence import CellResult
from harness.answers.found import Column, Example, Known, Measured, matches, missing, state
from harness.model.predict import Damage


def distinct(cells: Iterable[CellResult]) -> list[CellResult]:
    """Return one cell for each place, of several preferably one not as predicted."""
    found: dict[tuple[str, str, str], CellResult] = {}
    for cell in cells:
        place = (cell.run.column, cell.variant, cell.case)
        if place not in found or not cell.agrees:
            found[place] = cell
    return list(found.values())


def _judged(cells: Sequence[CellResult], variants: Sequence[str]) -> list[CellResult]:
    """Return the cells with a verdict under these variants; one of each place is given."""
    names = {name for name in {cell.variant for cell in cells} if matches(name, variants)}
    return [cell for cell in cells if cell.damage is not None and cell.variant in names]


def _size(cell: CellResult, classes: Sequence[Damage]) -> int | None:
    """Return the bytes of damage of these classes, or None where there is no such damage."""
    damage = cell.damage or {}
    sizes = [damage[one.value] for one in classes if one.value in damage]
    return sum(sizes) if sizes else None


def cells_with(file: CellsFile, cells: Sequence[CellResult], known: Known) -> Measured:
    """Count the cells that a file describes, and those of them that show its damage."""

    @functools.cache
    def wanted(case: str) -> bool:
        has = file.having is None or file.having in known.cases.get(case, frozenset())
        return has and matches(case, file.cases or ["*"]) and not matches(case, file.but)

    counted = [cell for cell in _judged(cells, file.variants) if wanted(cell.case)]
    if not counted:
        return missing(f"no such cell under {', '.join(file.variants)} was judged")
    sizes = [(cell, _size(cell, file.classes)) for cell in counted]
    shown = [(cell, size or 0) for cell, size in sizes if (size is None) is file.without]
    columns = _columns(counted, [cell for cell, _ in shown])
    if not shown and (why := _unplayed(counted, filter(wanted, known.cases), file.variants, known)):
        return replace(missing(why), of=len(counted), columns=columns)
    examples = [Example(cell.variant, cell.case, size) for cell, size in shown]
    least = min(examples, key=_order, default=None)
    return Measured(
        state=state(len(shown)),
        found=len(shown),
        of=len(counted),
        text=_text(file, columns, least),
        columns=columns,
        least=least,
        differ=sum(not cell.agrees for cell in counted),
    )


def _order(example: Example) -> tuple[int, int, str]:
    """Return a key by which the fewest bytes come first, and of several the plainest name."""
    return example.size, len(example.case), example.case


def _unplayed(
    counted: Sequence[CellResult], cases: Iterable[str], variants: Sequence[str], known: Known
) -> str:
    """Return why it does not follow from the cells that there is none, or ""."""
    played = {(cell.variant, cell.case) for cell in counted}
    names = [name for name in known.variants if matches(name, variants)]
    # A variant that the catalogue does not have is a user's own.
    wanted = {*names, *(variant for variant, _ in played)}
    needed = {(v, case) for case in cases if case in known.everywhere for v in wanted}
    if needed <= played:
        return ""
    return f"only {len(needed & played)} of {len(needed)} cells that could show it were judged"


def _columns(counted: Iterable[CellResult], shown: Sequence[CellResult]) -> tuple[Column, ...]:
    by_name: dict[str, list[CellResult]] = {}
    for cell in counted:
        by_name.setdefault(cell.run.column, []).append(cell)
    found = Counter(cell.run.column for cell in shown)
    return tuple(Column(cells[0].run, found[name], len(cells)) for name, cells in by_name.items())


def _text(file: CellsFile, columns: Sequence[Column], least: Example | None) -> str:
    words = " or ".join(damage.value for damage in file.classes)
    found, of = sum(one.found for one in columns), sum(one.of for one in columns)
    having = f" {file.having.words}" if file.having else ""
    on = f" on {len(columns)} kernels" if len(columns) > 1 else ""
    example = ""
    if least:
        word = "not" if file.without else "least" if least.size else "such as"
        example = f" ({word}: {least})"
    count = of - found if file.without else found
    return f"{words} in {count:,} of {of:,} cells{having}{on}{example}"


def sizes_without(file: SizesFile, cells: Sequence[CellResult], known: Known) -> Measured:
    """Count the variants that leave no damage in any cell."""
    counted = _judged(cells, file.variants)
    if not counted:
        return missing(f"no cell under {', '.join(file.variants)} was judged")
    shown = [cell for cell in counted if _size(cell, file.classes) is not None]
    wrong = {cell.variant for cell in shown}
    played: dict[str, list[CellResult]] = {}
    for cell in counted:
        played.setdefault(cell.variant, []).append(cell)
    wanted = [name for name in known.variants if matches(name, file.variants)]
    names = [*wanted, *sorted(played.keys() - set(wanted))]
    clean = [name for name in names if name not in wrong]
    untested = [n for n in clean if _unplayed(played.get(n, []), known.cases, [n], known)]
    columns = _columns(counted, shown)
    if untested:
        why = f"too little was played under {', '.join(untested)}"
        return replace(missing(why), of=len(names), columns=columns)
    found = Counter(cell.variant for cell in shown)
    parts = [f"in {found[n]:,} of {len(played[n]):,} cells under {n}" for n in names]
    return Measured(
        state=state(len(clean)),
        found=len(clean),
        of=len(names),
        text=f"something corrupt {', '.join(parts)}",
        columns=columns,
        differ=sum(not cell.agrees for cell in counted),
    )
