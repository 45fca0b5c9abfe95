# SPDX-License-Identifier: GPL-2.0-only
"""
A nightly run against the accepted one: what is a regression.  Pure.

A regression is a verdict that differs, a new complaint of the kernel's, a cell that is gone,
an argument that a tracer reads or leaves otherwise, or a hit that costs more than it may.  A
survey that differs is none: functions come and go.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from harness.nightly.unit import Cell, Complaint, Done, TracedCell, UnitKind

_WORD = 8


class Sort(enum.Enum):
    """What kind of thing is not as it was accepted."""

    VERDICT = "verdict"
    GONE = "gone"
    SPLAT = "splat"
    KERNEL = "kernel"
    FUZZ = "fuzz"
    COST = "cost"


@dataclass(frozen=True)
class Place:
    """What is compared with itself in another nightly run."""

    kernel: str
    compiler: str
    variant: str = ""
    case: str = ""
    # In place of a variant.
    tracer: str = ""

    def __str__(self) -> str:
        words = [self.kernel, *([self.compiler] if self.compiler != "gcc" else [])]
        cell = " x ".join(word for word in (self.variant or self.tracer, self.case) if word)
        return ", ".join([*words, *([cell] if cell else [])])


@dataclass(frozen=True)
class Regression:
    """A difference from the accepted results."""

    sort: Sort
    place: Place
    # The two results in a few words; `was` is empty where there was none.
    was: str
    is_: str
    # Further sentences: the bytes, or the reasons.
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """What one nightly run saw of a cell, in all repetitions."""

    cells: tuple[Cell | TracedCell, ...]

    @property
    def signs(self) -> frozenset[Hashable]:
        return frozenset(_sign(cell) for cell in self.cells)

    @property
    def words(self) -> str:
        return " or ".join(sorted({cell.seen for cell in self.cells}))

    @property
    def judged(self) -> str:
        """`words`, and whether the results were predicted."""
        words = (f"{c.seen}, {_verdict(c)}" for c in self.cells)
        return " or ".join(sorted(set(words)))

    def beside(self, other: _Seen | None) -> str:
        """Return a version that differs from what it is compared with, in words."""
        return self.judged if other and other.words == self.words else self.words


def _verdict(cell: Cell | TracedCell) -> str:
    if isinstance(cell, TracedCell):
        return str(cell.status.value)
    return "as predicted" if cell.agrees else "not as predicted"


def _sign(cell: Cell | TracedCell) -> Hashable:
    """
    Return what two nightly runs must have in common: no words, and no addresses.

    What is read as before is as good on a kernel that is too new for a prediction.
    """
    if isinstance(cell, TracedCell):
        left = frozenset((place, *_words(spans)) for place, spans in cell.damage.items())
        return cell.agrees, bool(cell.refused), tuple(cell.reads), cell.called, left
    damage = sorted((place, tuple(map(tuple, spans))) for place, spans in cell.damage.items())
    return cell.state, tuple(sorted(cell.classes.items())), cell.agrees, tuple(damage)


def _words(spans: Sequence[Sequence[int]]) -> list[int]:
    """Return the words that bytes are in: what happens to be there may have one right."""
    return sorted({at // _WORD for start, end in spans for at in range(start, end)})


def _spans(cell: Cell | TracedCell) -> str:
    return "; ".join(
        f"{place}: byte {', '.join(_span(*one) for one in spans)}"
        for place, spans in cell.damage.items()
    )


def _span(start: int, end: int) -> str:
    return str(start) if end == start + 1 else f"{start} to {end - 1}"


def _cells(night: Sequence[Done]) -> dict[Place, _Seen]:
    found: dict[Place, list[Cell | TracedCell]] = {}
    for done in night:
        for cell in done.cells if done.kind is UnitKind.CELLS else ():
            place = Place(done.kernel, done.compiler, cell.variant, cell.case)
            found.setdefault(place, []).append(cell)
        for one in done.traced:
            place = Place(done.kernel, done.compiler, case=one.case, tracer=one.tracer)
            found.setdefault(place, []).append(one)
    return {place: _Seen(tuple(cells)) for place, cells in found.items()}


def _complaints(night: Sequence[Done]) -> dict[tuple[str, str], tuple[Done, Complaint]]:
    """Return one complaint for each kernel and fingerprint, with its unit."""
    return {
        (done.kernel, complaint.fingerprint): (done, complaint)
        for done in night
        for complaint in done.complaints
    }


def regressions(
    night: Sequence[Done], accepted: Sequence[Done] | None, growth: float = 0
) -> list[Regression]:
    """
    What of a nightly run is not as in the accepted one; without one, as predicted.

    Only kernels that both runs have are compared; a hit may cost `growth` percent more.
    """
    found = [*_kernel_errors(night, accepted), *_fuzz(night)]
    if accepted is None:
        found += _unpredicted(night)
    else:
        tried = {(done.kernel, done.compiler) for done in night}
        both = [done for done in accepted if (done.kernel, done.compiler) in tried]
        found += [
            *_verdicts(night, both),
            *_splats(night, both),
            *_costs(night, both, growth),
        ]
    return found


def _kernel_errors(night: Sequence[Done], accepted: Sequence[Done] | None) -> Iterator[Regression]:
    """A fault of the kernel's that belongs to no cell."""
    known = [(done.kernel, error) for done in accepted or () for error in done.kernel_errors]
    for done in night:
        for error in done.kernel_errors:
            if not any(kernel == done.kernel and error.same(one) for kernel, one in known):
                place = Place(done.kernel, done.compiler)
                yield Regression(Sort.KERNEL, place, "", error.text.splitlines()[0])


def _fuzz(night: Sequence[Done]) -> Iterator[Regression]:
    for done in night:
        for cell in done.cells if done.kind is UnitKind.FUZZ else ():
            place = Place(done.kernel, done.compiler, cell.variant, cell.case)
            is_, details = _Seen((cell,)).judged, tuple(cell.reasons)
            yield Regression(Sort.FUZZ, place, "as predicted", is_, details)


def _unpredicted(night: Sequence[Done]) -> Iterator[Regression]:
    for place, seen in _cells(night).items():
        for cell in seen.cells:
            if not cell.agrees:
                is_, details = _Seen((cell,)).judged, tuple(cell.reasons)
                yield Regression(Sort.VERDICT, place, "as predicted", is_, details)
                break


def _verdicts(night: Sequence[Done], accepted: Sequence[Done]) -> Iterator[Regression]:
    now = _cells(night)
    unfinished = _unfinished(night)
    for place, before in _cells(accepted).items():
        seen = now.pop(place, None)
        if seen is None:
            if (place.kernel, place.compiler, bool(place.tracer)) in unfinished:
                # The nightly run is incomplete, which is no kernel's fault.
                continue
            yield Regression(Sort.GONE, place, before.words, "not played")
        elif not seen.signs <= before.signs:
            was, is_ = before.beside(seen), seen.beside(before)
            yield Regression(Sort.VERDICT, place, was, is_, tuple(_details(before, seen)))
    # A cell that is new is compared with its prediction.
    for place, seen in now.items():
        if not all(cell.agrees for cell in seen.cells):
            reasons = tuple(dict.fromkeys(text for c in seen.cells for text in c.reasons))
            yield Regression(Sort.VERDICT, place, "new", seen.judged, reasons)


def _unfinished(night: Sequence[Done]) -> set[tuple[str, str, bool]]:
    """
    Kernels and compilers of which something is missing for a reason of ours.

    Tracers are apart from the others.  What is missing of a survey, nothing is compared with.
    """
    return {
        (done.kernel, done.compiler, done.kind is UnitKind.TRACERS)
        for done in night
        if done.harness_errors and done.kind is not UnitKind.SURVEY
    }


def _spent(night: Sequence[Done]) -> dict[Place, float]:
    """Return the instructions that a hit costs, by place."""
    return {
        Place(done.kernel, done.compiler, cost.variant): cost.instructions
        for done in night
        for cost in done.costs
    }


def _costs(night: Sequence[Done], accepted: Sequence[Done], growth: float) -> Iterator[Regression]:
    now = _spent(night)
    unfinished = _unfinished(night)
    for place, before in _spent(accepted).items():
        was = f"{before:,.0f} instructions a hit"
        if place in now:
            if 100 * now[place] > before * (100 + growth):
                more = 100 * (now[place] / before - 1)
                change = f"{more:.1f} % more, where {growth:g} % are allowed"
                yield Regression(Sort.COST, place, was, f"{now[place]:,.0f}", (change,))
        elif (place.kernel, place.compiler, False) not in unfinished:
            yield Regression(Sort.GONE, place, was, "not measured")


def _details(before: _Seen, now: _Seen) -> Iterator[str]:
    known = {_sign(cell) for cell in before.cells}
    was = " or ".join(sorted({_spans(cell) for cell in before.cells})) or "nothing"
    for cell in now.cells:
        if _sign(cell) not in known:
            is_ = _spans(cell) or "nothing"
            if is_ != was:
                yield f"corrupt: {is_} (it was: {was})"
            if isinstance(cell, TracedCell):
                yield from _read_otherwise(before, cell)
            yield from cell.reasons
            if cell.agrees:
                reasons = dict.fromkeys(text for one in before.cells for text in one.reasons)
                yield from (f"it was: {text}" for text in reasons)
            return


def _read_otherwise(before: _Seen, now: TracedCell) -> Iterator[str]:
    """Yield a sentence for each argument that a tracer reads otherwise than in the first boot."""
    was = before.cells[0]
    assert isinstance(was, TracedCell)
    if now.refused:
        yield f"refused: {now.refused}"
    elif was.refused:
        yield f"it was refused: {was.refused}"
    for index, (old, new) in enumerate(zip(was.reads, now.reads)):
        if old is not new:
            yield f"argument {index} is read as {new.value} (it was: {old.value})"


def _splats(night: Sequence[Done], accepted: Sequence[Done]) -> Iterator[Regression]:
    known = _complaints(accepted)
    for key, (done, one) in _complaints(night).items():
        if key not in known:
            place = Place(done.kernel, done.compiler, one.variant, one.case)
            yield Regression(Sort.SPLAT, place, "", f"{one.kind}: {one.title}")


def changes(nights: Sequence[Sequence[Done]]) -> dict[Place, list[tuple[int, str]]]:
    """
    Of each cell, in which nightly runs it became what: index and words, the first one too.

    Nightly runs come the oldest first; one that did not play a cell is passed over.
    """
    found: dict[Place, list[tuple[int, str]]] = {}
    last: dict[Place, _Seen] = {}
    for index, night in enumerate(nights):
        for place, seen in _cells(night).items():
            before = last.get(place)
            if before is None or before.signs != seen.signs:
                last[place] = seen
                found.setdefault(place, []).append((index, seen.beside(before)))
    return found
