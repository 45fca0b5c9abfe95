# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run as KTAP, as JUnit XML and as annotations of a GitHub workflow."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence

from harness import printable
from harness.nightly.compare import Place, Regression, Sort
from harness.nightly.night import Report
from harness.nightly.unit import Done, UnitKind
from harness.report import summaries
from harness.report.formats import junit, ktap
from harness.report.formats.testcase import Group, Test
from harness.tracers.cell import Status

Groups = list[tuple[str, list[Test]]]


def tests(report: Report) -> list[tuple[Done, Groups]]:
    """Return the tests by unit and by variant; those that belong to no cell come last."""
    by_place: dict[Place, list[Regression]] = {}
    for one in report.regressions:
        by_place.setdefault(one.place, []).append(one)
    return [(done, _groups(done, by_place)) for done in report.results]


def _groups(
    done: Done, regressions: Mapping[Place, Sequence[Regression]]
) -> list[tuple[str, list[Test]]]:
    by_name: dict[str, list[Test]] = {}
    found = (*_played(done, regressions), *_missing(done, regressions), *_whole(done))
    for name, test in found:
        by_name.setdefault(name, []).append(test)
    return list(by_name.items())


def _played(
    done: Done, regressions: Mapping[Place, Sequence[Regression]]
) -> Iterator[tuple[str, Test]]:
    """Yield cells and costs by variant, and what was traced by tracer."""
    for cell in done.cells:
        place = Place(done.kernel, done.compiler, cell.variant, cell.case)
        yield cell.variant, Test(cell.case, cell.seen, _reasons(regressions.get(place, ())))
    for one in done.traced:
        place = Place(done.kernel, done.compiler, case=one.case, tracer=one.tracer)
        reasons = _reasons(regressions.get(place, ()))
        unpredicted = one.status is Status.UNPREDICTED and not reasons
        skipped = Status.UNPREDICTED.value if unpredicted else ""
        yield one.tracer, Test(one.case, one.seen, reasons, skipped=skipped)
    for cost in done.costs:
        place = Place(done.kernel, done.compiler, cost.variant)
        seen = f"{cost.instructions:,.0f} instructions a hit"
        yield cost.variant, Test("cost", seen, _reasons(regressions.get(place, ())))


def _missing(
    done: Done, regressions: Mapping[Place, Sequence[Regression]]
) -> Iterator[tuple[str, Test]]:
    """Return what else is held against the kernel of a unit, to be reported with that unit."""
    cells = {(cell.variant, cell.case) for cell in done.cells}
    cells |= {(cost.variant, "") for cost in done.costs}
    cells |= {(one.tracer, one.case) for one in done.traced}
    for place, found in regressions.items():
        of_unit = (place.kernel, place.compiler, _kind(place)) == (
            done.kernel,
            done.compiler,
            done.kind,
        )
        if not of_unit or (place.variant or place.tracer, place.case) in cells:
            continue
        for one in found:
            if one.sort is not Sort.FUZZ:
                test = Test(place.case or one.sort.value, one.is_, (one.is_, *one.details))
                yield place.variant or place.tracer or "kernel", test


def _kind(place: Place) -> UnitKind:
    """Return the kind of the unit that a place is reported with."""
    if place.tracer:
        return UnitKind.TRACERS
    return UnitKind.COST if place.variant and not place.case else UnitKind.CELLS


def _whole(done: Done) -> Iterator[tuple[str, Test]]:
    """What can be said of a unit as a whole."""
    if done.harness_errors:
        yield "run", Test("complete", "", tuple(done.harness_errors), error=True)
    elif done.kind is UnitKind.FUZZ:
        yield "fuzz", Test("signatures", f"{done.played} of {done.planned}", ())
    elif done.survey:
        yield "survey", Test("functions", f"{done.survey.functions:,}", ())


def _reasons(found: Sequence[Regression]) -> tuple[str, ...]:
    return tuple(
        line
        for one in found
        for line in (f"{one.was} -> {one.is_}" if one.was else one.is_, *one.details)
    )


def as_ktap(report: Report) -> str:
    """Return KTAP (the kernel's Documentation/dev-tools/ktap.rst): units, variants, cases."""
    return printable.lines(_ktap(report))


def _ktap(report: Report) -> Iterator[str]:
    units = [
        Group(done.unit, tuple(Group(name, tuple(cells)) for name, cells in groups))
        for done, groups in tests(report)
    ]
    return ktap.results(units)


def as_junit(report: Report) -> str:
    """Return JUnit XML, with a test suite for each unit."""
    top = ElementTree.Element("testsuites", name=f"jprobe-harness nightly run {report.night.id}")
    for done, groups in tests(report):
        found = [(f"{done.unit}.{name}", test) for name, cells in groups for test in cells]
        suite = junit.tests(done.unit, found)
        suite.set("time", f"{done.ended - done.started:.1f}")
        top.append(suite)
    return junit.text(top)


def as_annotations(report: Report) -> str:
    """Return workflow commands, which GitHub's runner reads from the output of a step."""
    lines = []
    for one in report.regressions:
        change = f"{one.was} -> {one.is_}" if one.was else one.is_
        message = _escaped("\n".join(map(summaries.short, (change, *summaries.few(one.details)))))
        lines.append(f"::error title={_escaped(str(one.place), ':,')}::{message}")
    for done in report.results:
        for text in done.harness_errors:
            lines.append(f"::warning title={_escaped(done.unit, ':,')}::{_escaped(text)}")
    return printable.lines(lines)


def _escaped(text: str, further: str = "") -> str:
    for character in f"%\r\n{further}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text
