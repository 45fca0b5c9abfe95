# SPDX-License-Identifier: GPL-2.0-only
"""What a tracer made of a call in a few words, and in a sign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from harness.tracers.cell import Cell, Status
from harness.tracers.reading import Read
from harness.tracing.run import Tracing

UNPREDICTED = "not predicted: the kernel is newer than all that the rule was held against"
# Between the names of a tracer and of a variant.
BESIDE = " beside "
MISMATCH = "\N{NOT EQUAL TO}"
CHANGED, UNCALLED, REFUSED, DIED = "changed", "not called", "refused", "not judged"
# In the order of a legend; the classes are those of the pages' colours.
SIGNS: dict[str, tuple[str, str]] = {
    Read.RIGHT.value: ("\N{MIDDLE DOT}", "intact"),
    Read.TRUNCATED.value: ("t", "other"),
    Read.ADDRESS.value: ("&", "by-ref"),
    Read.ZERO.value: ("0", "missed"),
    Read.ANOTHER.value: ("?", "leak"),
    Read.ABSENT.value: ("\N{EN DASH}", "skipped"),
    REFUSED: ("\N{MULTIPLICATION SIGN}", "skipped"),
    UNCALLED: ("/", "rollback"),
    CHANGED: ("!", "overflow"),
    DIED: ("\N{DAGGER}", "overflow"),
}
# What decides a cell's colour, the worst first.
_WORST = (
    DIED, CHANGED, UNCALLED, Read.ANOTHER.value, Read.ADDRESS.value, Read.ZERO.value,
    Read.TRUNCATED.value, Read.ABSENT.value, REFUSED, Read.RIGHT.value,
)  # fmt: skip


def runs(words: Iterable[str]) -> str:
    """Return words in order with how often each follows itself: "right x8, zero x1"."""
    return ", ".join(f"{word} x{len(list(alike))}" for word, alike in groupby(words))


def name(cell: Cell) -> str:
    """Return the tracer of a cell, with the variant of a jprobe beside it."""
    return f"{cell.tracer}{BESIDE}{cell.variant}" if cell.variant else cell.tracer


def in_short(cell: Cell) -> str:
    """Return what was read of each argument, or why nothing was, and what was left of them."""
    if cell.errors:
        return DIED
    if cell.seen.refused:
        known = cell.predicted.refused if cell.predicted else ""
        return f"{REFUSED}: {known or cell.seen.refused}"
    parts = [runs(read.value for read in cell.reads) or "no argument"]
    if cell.left:
        parts.append(f"{CHANGED}: argument {', '.join(map(str, cell.left))}")
    if not cell.called:
        parts.append(UNCALLED)
    return "; ".join(parts)


def kinds(cell: Cell) -> list[str]:
    """Return what there is to see in a cell, keys of SIGNS; right is named only if that is all."""
    if cell.errors:
        return [DIED]
    if cell.seen.refused:
        return [REFUSED]
    found = [read.value for read in dict.fromkeys(cell.reads) if read is not Read.RIGHT]
    found += [UNCALLED] * (not cell.called) + [CHANGED] * bool(cell.left)
    return found or [Read.RIGHT.value]


def sign(cell: Cell) -> str:
    """Return a cell as a few characters."""
    mark = MISMATCH if cell.status is Status.DIFFERS else ""
    return mark + "".join(SIGNS[kind][0] for kind in kinds(cell))


def hue(cell: Cell) -> str:
    """Return the class of a cell's colour."""
    found = kinds(cell)
    return SIGNS[next(kind for kind in _WORST if kind in found)][1]


def tally(cells: Sequence[Cell]) -> str:
    """
    Return how many cells are as predicted, and what is notable: "9 of 9, 2 changed".

    Of a tracer that is not there, return why.
    """
    status = Counter(cell.status for cell in cells)
    reasons = {cell.predicted.refused if cell.predicted else "" for cell in cells}
    if status[Status.AGREES] == len(cells) and len(reasons) == 1 and all(reasons):
        return reasons.pop()
    parts = [f"{status[Status.AGREES]} of {len(cells)}"]
    if status[Status.UNPREDICTED]:
        parts = [f"{status[Status.UNPREDICTED]} {Status.UNPREDICTED.value}"]
    return ", ".join((*parts, *notable(cells)))


def notable(cells: Sequence[Cell]) -> list[str]:
    """Return how many cells are other than an argument that was read in one way or another."""
    count = Counter(kind for cell in cells for kind in kinds(cell))
    return [
        f"{'all' if count[kind] == len(cells) else count[kind]} {kind}"
        for kind in (CHANGED, UNCALLED, REFUSED, DIED)
        if count[kind]
    ]


def by_tracer(one: Tracing) -> dict[str, list[Cell]]:
    """Return the cells of each tracer, and of each jprobe beside it, in the order of the run."""
    found: dict[str, list[Cell]] = {}
    for cell in one.cells:
        found.setdefault(name(cell), []).append(cell)
    return found


def complaints(one: Tracing) -> Iterator[str]:
    """Yield what is wrong with a kernel's cells as a whole, in sentences."""
    yield from one.kernel_errors
    yield from one.errors
    if missing := one.planned - len(one.cells):
        yield f"{missing:,} cells were not played."


def retries(one: Tracing) -> list[str]:
    """Return after what cells were played again, in sentences."""
    return [f"Played again after: {sentence}" for sentence in one.retried]


def summary(found: Sequence[Tracing]) -> str:
    """Return all kernels in one sentence."""
    count = Counter(cell.status for one in found for cell in one.cells)
    planned = sum(one.planned for one in found)
    parts = [f"{count[Status.AGREES]:,} of {planned:,} cells as predicted"]
    parts += [
        f"{count[status]:,} {status.value}"
        for status in (Status.DIFFERS, Status.UNPREDICTED)
        if count[status]
    ]
    if missing := planned - sum(len(one.cells) for one in found):
        parts.append(f"{missing:,} not played")
    return "; ".join(parts) + "."
