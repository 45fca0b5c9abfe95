# SPDX-License-Identifier: GPL-2.0-only
"""The first bad release is found with few tries, even if some cannot be judged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.errors import ArchiveError
from harness.nightly import compare
from harness.nightly.bisect import Turn, first_bad, turn
from harness.nightly.database.migrate import kernel_error
from harness.nightly.night import Report
from harness.nightly.store import NightlyRun
from harness.nightly.unit import Cell, Done, HitCost, Unit, UnitEnvironment, UnitKind, result
from harness.tracers.reading import Read
from tests.unit.nights import surveyed, traced

SPEC = "debian:6.1"
RELEASES = [f"6.1.0-{number}-cloud-arm64" for number in range(10, 23)]
UNIT = Unit(kernel=SPEC, compiler="gcc", kind=UnitKind.CELLS, variants=["none"], deadline=60)
NIGHT = NightlyRun(id=2, name="n", matrix="m", shows="x", started=0, ended=1)


@given(st.integers(1, 200), st.data())
def test_a_turn_is_where_good_becomes_bad(count: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, count - 1))
    known = data.draw(st.none() | st.integers(0, first - 1)) if first else None
    asked = []

    def is_bad(number: int) -> bool:
        asked.append(number)
        return number >= first

    assert turn(count, is_bad, good=known) == Turn(first - 1 if first else None, first)
    assert len(asked) <= math.ceil(math.log2(count + 1))


@given(st.integers(1, 60), st.data())
def test_what_cannot_be_judged_is_reported(count: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, count - 1))
    dark = data.draw(st.sets(st.integers(0, count - 2))) if count > 1 else set()
    asked = []

    def is_bad(number: int) -> bool | None:
        asked.append(number)
        return None if number in dark else number >= first

    found = turn(count, is_bad)
    assert len(asked) == len(set(asked))
    # Both ends were judged, and all between them cannot be.
    assert found.bad >= first
    assert found.bad == count - 1 or found.bad not in dark
    low = -1 if found.good is None else found.good
    assert low < first
    assert low not in dark
    assert set(range(low + 1, found.bad)) == set(found.unjudged) <= dark


def played(kernel: str, release: str, *, bad: bool) -> Done:
    cell = Cell(variant="none", case="stack-9", classes={"leak": 8} if bad else {}, agrees=True,
                reasons=[], damage={"argument 8": [[0, 8]]} if bad else {}, looks={})  # fmt: skip
    facts = UnitEnvironment(
        release=release, version="1", key="k", engine="port", compiler="gcc", qemu="7", harness="0"
    )
    unit = replace(UNIT, kernel=kernel)
    return result(unit, 0.0, 1.0, facts=facts, cells=[cell], planned=1, played=1)


class Archive:
    """Releases that are bad from one on, some of which the archive does not have."""

    def __init__(self, first: int, missing: Sequence[int] = ()) -> None:
        self.first = first
        self.missing = missing
        self.tried: list[int] = []

    def work(self, unit: Unit) -> Done:
        number = RELEASES.index(unit.kernel.removeprefix("debian:"))
        self.tried.append(number)
        if number in self.missing:
            return result(unit, 0.0, 1.0, harness_errors=["404 Not Found"])
        return played(unit.kernel, RELEASES[number], bad=number >= self.first)


def named(bad: int, good: int) -> str:
    return (
        f"of the releases that the archive has whole, {RELEASES[bad]} is the first bad one,"
        f" {RELEASES[good]} good"
    )


def nobody(unit: Unit) -> Done:
    raise AssertionError(f"{unit.name} was tried")


def report(accepted: str | None, now: str = RELEASES[-1]) -> Report:
    held = [played(SPEC, accepted, bad=False)] if accepted else None
    results = [played(SPEC, now, bad=True)]
    # Against predictions, the cell is one that does not agree.
    if held is None:
        results = [replace(results[0], cells=[replace(results[0].cells[0], agrees=False)])]
    found = compare.regressions(results, held)
    return Report(NIGHT, (UNIT,), results, None, held, 0, found)


@pytest.mark.parametrize("first", range(3, len(RELEASES)))
def test_the_first_bad_release_is_named(first: int) -> None:
    archive = Archive(first)
    (one,) = first_bad(report(RELEASES[2]), lambda spec: RELEASES, archive.work).regressions
    assert one.details[0] == named(first, first - 1)
    assert len(archive.tried) <= 4
    # What was known of the regression is reported as before.
    assert one.details[1:] == report(RELEASES[2]).regressions[0].details


def test_releases_that_the_archive_has_lost() -> None:
    archive = Archive(6, missing=[5, 6])
    (one,) = first_bad(report(RELEASES[0]), lambda spec: RELEASES, archive.work).regressions
    between = f"between them {RELEASES[5]}, {RELEASES[6]} cannot be judged"
    assert one.details[0] == f"{named(7, 4)}; {between}"


def test_a_release_whose_kernel_died_is_not_good() -> None:
    """Against predictions, a cell that was not played is no regression."""
    archive = Archive(6)

    def work(unit: Unit) -> Done:
        came = archive.work(unit)
        dead = unit.kernel == f"debian:{RELEASES[6]}"
        return (
            replace(came, cells=[], played=0, kernel_errors=[kernel_error("It died.")])
            if dead
            else came
        )

    (one,) = first_bad(report(RELEASES[3]), lambda spec: RELEASES, work).regressions
    assert one.details[0].startswith(named(7, 5))
    assert f"{RELEASES[6]} cannot be judged" in one.details[0]


def test_a_cost_is_looked_for_where_costs_are() -> None:
    costs = replace(UNIT, kind=UnitKind.COST)
    kinds: list[UnitKind] = []

    def spent(unit: Unit, release: str, instructions: float) -> Done:
        facts = played(SPEC, release, bad=False).facts
        cost = HitCost(variant="none", instructions=instructions, saved=0)
        return result(unit, 0.0, 1.0, facts=facts, costs=[cost], planned=1, played=1)

    def work(unit: Unit) -> Done:
        kinds.append(unit.kind)
        release = unit.kernel.removeprefix("debian:")
        return spent(unit, release, 2000 if RELEASES.index(release) >= 5 else 1000)

    held, now = [spent(costs, RELEASES[0], 1000)], [spent(costs, RELEASES[-1], 2000)]
    found = compare.regressions(now, held, 2)
    before = Report(NIGHT, (UNIT, costs), now, None, held, 2, found)
    (one,) = first_bad(before, lambda spec: RELEASES, work).regressions
    assert one.details[0] == named(5, 4)
    assert set(kinds) == {UnitKind.COST}


def test_what_a_tracer_reads_is_looked_for_where_tracers_are() -> None:
    unit = replace(UNIT, kind=UnitKind.TRACERS)
    kinds: list[UnitKind] = []

    def read(kernel: str, release: str, one: Read) -> Done:
        facts = played(kernel, release, bad=False).facts
        given = replace(unit, kernel=kernel)
        cells = [traced(reads=[one])]
        return result(given, 0.0, 1.0, facts=facts, traced=cells, planned=1, played=1)

    def work(unit: Unit) -> Done:
        kinds.append(unit.kind)
        release = unit.kernel.removeprefix("debian:")
        newer = RELEASES.index(release) >= 5
        return read(unit.kernel, release, Read.ABSENT if newer else Read.ZERO)

    held, now = [read(SPEC, RELEASES[0], Read.ZERO)], [read(SPEC, RELEASES[-1], Read.ABSENT)]
    found = compare.regressions(now, held)
    before = Report(NIGHT, (UNIT, unit), now, None, held, 0, found)
    (one,) = first_bad(before, lambda spec: RELEASES, work).regressions
    assert one.details[0] == named(5, 4)
    assert set(kinds) == {UnitKind.TRACERS}


def test_releases_that_the_night_has_played() -> None:
    before = report(RELEASES[0])
    names = [f"debian:{RELEASES[number]}" for number in (6, 8, 9)]
    others = [played(name, name, bad=name >= names[1]) for name in names]
    known = dataclasses.replace(before, results=[*before.results, *others])
    archive = Archive(8)
    (one,) = first_bad(known, lambda spec: RELEASES, archive.work).regressions
    assert one.details[0] == named(8, 7)
    assert not {6, 8, 9} & set(archive.tried)


def test_the_same_kernel_as_before() -> None:
    (one,) = first_bad(report(RELEASES[-1]), lambda spec: RELEASES, nobody).regressions
    assert one.details[0] == f"{RELEASES[-1]} as before; changed: nothing that is recorded"


def test_a_survey_says_nothing_of_the_tools() -> None:
    before = report(RELEASES[-1])
    survey = surveyed()
    assert survey.facts and before.accepted
    stored_first = replace(survey, facts=replace(survey.facts, release=RELEASES[-1]))
    held = dataclasses.replace(before, accepted=[stored_first, *before.accepted])
    (one,) = first_bad(held, lambda spec: RELEASES, nobody).regressions
    assert one.details[0].endswith("changed: nothing that is recorded")


def test_a_kernel_of_no_series_is_left_as_it_is() -> None:
    before = report(RELEASES[0])
    assert first_bad(before, lambda spec: [], nobody) == before


def test_an_archive_that_does_not_answer() -> None:
    def releases(spec: str) -> list[str]:
        raise ArchiveError("apt failed.")

    (one,) = first_bad(report(RELEASES[0]), releases, nobody).regressions
    assert one.details[0].startswith("where it came in is not known: apt failed.")
