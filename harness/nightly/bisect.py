# SPDX-License-Identifier: GPL-2.0-only
"""Finds the first release of a series that has a regression."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from harness.errors import InfrastructureError
from harness.nightly.compare import Place, Regression, Sort, regressions
from harness.nightly.night import Report
from harness.nightly.unit import Done, Unit, UnitEnvironment, UnitKind

# Runs a unit, on this machine or another.
Work = Callable[[Unit], Done]
# Whether the n-th release has the regression; None if it cannot be judged.
IsBad = Callable[[int], bool | None]
# The releases of a kernel's series in the archive, the oldest first; empty without a series.
Releases = Callable[[str], list[str]]


@dataclass(frozen=True)
class Turn:
    """The two releases between which something changed."""

    # None if the oldest release is bad too.
    good: int | None
    bad: int
    # Releases between these two that cannot be judged.
    unjudged: tuple[int, ...] = ()


def turn(count: int, is_bad: IsBad, *, good: int | None = None) -> Turn:
    """
    Find where `count` releases, of which the last is bad, turn from good to bad.

    `good` is a release known to be good, if any.  `is_bad` is called at most once for each
    release, and about log2(count) times if all can be judged.
    """
    bad = count - 1
    unjudged: set[int] = set()
    low = -1 if good is None else good
    while candidates := [n for n in range(low + 1, bad) if n not in unjudged]:
        middle = candidates[len(candidates) // 2]
        answer = is_bad(middle)
        if answer is None:
            unjudged.add(middle)
        elif answer:
            bad = middle
        else:
            low = middle
    left = tuple(n for n in sorted(unjudged) if low < n < bad)
    return Turn(low if low >= 0 else None, bad, left)


@dataclass(frozen=True)
class Series:
    """Releases of one series, the oldest first; the last is the one that was played."""

    # The spec in the matrix, and the spec of each release.
    spec: str
    specs: Sequence[str]
    # The index of the accepted release, or None if it is not in `specs`.
    good: int | None


@dataclass(frozen=True)
class _Tried:
    """The regressions of one release, and whether all of it could be played."""

    signs: frozenset[tuple[Sort, Place]]
    # Whether the release could be fetched and all of it was played.
    whole: bool


class Search:
    """
    Plays the releases of a series, each at most once for all regressions.

    Units that are in `played` are not run again.
    """

    def __init__(
        self,
        series: Series,
        units: Sequence[Unit],
        accepted: Sequence[Done] | None,
        growth: float,
        played: Sequence[Done],
        work: Work,
    ) -> None:
        self._series = series
        self._played = played
        self._units = units
        self._accepted = accepted
        self._growth = growth
        self._work = work
        self._tried: dict[int, _Tried] = {}

    def turn(self, regression: Regression) -> Turn:
        """Return between which two releases a regression came in."""

        def is_bad(number: int) -> bool | None:
            if number not in self._tried:
                self._tried[number] = self._try(number)
            tried = self._tried[number]
            if _sign(regression) in tried.signs:
                return True
            return False if tried.whole else None

        return turn(len(self._series.specs), is_bad, good=self._series.good)

    def _try(self, number: int) -> _Tried:
        """Play a release, and compare it with the accepted results of the series."""
        spec = self._series.specs[number]
        wanted = [replace(unit, kernel=spec) for unit in self._units]
        played = {done.unit: done for done in self._played}
        came = [played.get(unit.name) or self._work(unit) for unit in wanted]
        named = [replace(done, kernel=self._series.spec) for done in came]
        found = regressions(named, self._accepted, self._growth)
        whole = all(done.facts and done.complete for done in came)
        return _Tried(frozenset(_sign(one) for one in found), whole)


def _sign(regression: Regression) -> tuple[Sort, Place]:
    """Return what is equal in the same regression of two releases."""
    return regression.sort, regression.place


def _kind(regression: Regression) -> UnitKind:
    """Return the kind of the units that show a regression."""
    if regression.sort is Sort.FUZZ:
        return UnitKind.FUZZ
    place = regression.place
    if place.tracer:
        return UnitKind.TRACERS
    return UnitKind.COST if place.variant and not place.case else UnitKind.CELLS


def first_bad(report: Report, releases: Releases, work: Work) -> Report:
    """Return the report, with the release in which each regression of a series came in."""
    by_kernel: dict[tuple[str, str], list[Regression]] = {}
    for one in report.regressions:
        by_kernel.setdefault((one.place.kernel, one.place.compiler), []).append(one)
    origins: dict[Regression, str] = {}
    for found in by_kernel.values():
        try:
            origins |= _first_bad(report, found, releases, work)
        except InfrastructureError as error:
            origins |= dict.fromkeys(found, f"where it came in is not known: {error}")
    return dataclasses.replace(
        report, regressions=[_explained(one, origins) for one in report.regressions]
    )


def _explained(regression: Regression, origins: Mapping[Regression, str]) -> Regression:
    if regression not in origins:
        return regression
    return dataclasses.replace(regression, details=(origins[regression], *regression.details))


def _first_bad(
    report: Report, found: Sequence[Regression], releases: Releases, work: Work
) -> dict[Regression, str]:
    """Find where regressions of one kernel and compiler appeared; empty without a series."""
    place = found[0].place
    now = _facts(report.results, place)
    before = _facts(report.accepted or (), place)
    names = releases(place.kernel) if now else []
    if not now or now.release not in names:
        return {}
    if before and before.release == now.release:
        return dict.fromkeys(found, _same(before, now))
    names = names[: names.index(now.release) + 1]
    good = names.index(before.release) if before and before.release in names else None
    series = Series(place.kernel, [f"debian:{name}" for name in names], good)
    kinds = {_kind(one) for one in found}
    units = [
        unit
        for unit in report.planned
        if (unit.kernel, unit.compiler) == (place.kernel, place.compiler) and unit.kind in kinds
    ]
    search = Search(series, units, report.accepted, report.growth, report.results, work)
    return {one: sentence(series, search.turn(one)) for one in found}


def _facts(results: Sequence[Done], place: Place) -> UnitEnvironment | None:
    found = (
        done.facts
        for done in results
        if (done.kernel, done.compiler) == (place.kernel, place.compiler)
        # Of a survey, neither a compiler nor QEMU is known.
        and done.kind is not UnitKind.SURVEY
    )
    return next(filter(None, found), None)


def _same(before: UnitEnvironment, now: UnitEnvironment) -> str:
    """Return a sentence about what else changed, as the kernel did not."""
    changed = [
        f"{name} {getattr(before, name)} -> {getattr(now, name)}"
        for name in ("version", "build_id", "compiler", "qemu", "harness")
        if getattr(before, name) != getattr(now, name)
    ]
    return f"{now.release} as before; changed: {', '.join(changed) or 'nothing that is recorded'}"


def sentence(series: Series, found: Turn) -> str:
    """Return a turn in one sentence."""
    name = series.specs[found.bad].removeprefix("debian:")
    if found.good is None:
        first = f"{name}, the oldest release that the archive has whole, is bad"
    else:
        good = series.specs[found.good].removeprefix("debian:")
        first = (
            f"of the releases that the archive has whole, {name} is the first bad one, {good} good"
        )
    left = [series.specs[number].removeprefix("debian:") for number in found.unjudged]
    between = f"; between them {', '.join(left)} cannot be judged" if left else ""
    return f"{first}{between}"
