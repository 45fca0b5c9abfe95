# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run as KTAP, as JUnit XML and as annotations of a GitHub workflow."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness import printable
from harness.nightly.compare import Place, Regression, Sort
from harness.nightly.night import Report
from harness.nightly.unit import Done, UnitKind
from harness.report import summaries
from harness.report.formats import junit, ktap
from harness.tracers.cell import Status


@dataclass(frozen=True)
class Test:
    """A cell of one unit, or what else is held against the accepted run."""

    # A name of one word, and the result in a few words.
    name: str
    seen: str
    # The reasons why it fails; empty if it passes.
    reasons: tuple[str, ...]
    # Whether it could not be judged, through no fault of the kernel's.
    error: bool = False
    # Whether anything was predicted.
    predicted: bool = True


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
        predicted = one.status is not Status.UNPREDICTED
        yield one.tracer, Test(one.case, one.seen, reasons, predicted=predicted or bool(reasons))
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
    units = tests(report)
    yield "KTAP version 1"
    yield f"1..{len(units)}"
    for number, (done, groups) in enumerate(units, 1):
        yield "  KTAP version 1"
        yield f"  # Subtest: {done.unit}"
        yield f"  1..{len(groups)}"
        for index, (name, cells) in enumerate(groups, 1):
            yield "    KTAP version 1"
            yield f"    # Subtest: {name}"
            yield f"    1..{len(cells)}"
            for place, test in enumerate(cells, 1):
                for reason in test.reasons:
                    for line in reason.splitlines():
                        yield f"    # {test.name}: {line}"
                seen = f" - {test.seen}" if test.seen else ""
                skip = "" if test.predicted else f" # SKIP {Status.UNPREDICTED.value}"
                yield f"    {_ok([test])} {place} {ktap.name(test.name + seen)}{skip}"
            yield f"  {_ok(cells)} {index} {ktap.name(name)}"
        status = _ok([test for _, cells in groups for test in cells])
        yield f"{status} {number} {ktap.name(done.unit)}"


def _ok(found: Sequence[Test]) -> str:
    return "not ok" if any(test.reasons for test in found) else "ok"


def as_junit(report: Report) -> str:
    """Return JUnit XML, with a test suite for each unit."""
    top = ElementTree.Element("testsuites", name=f"jprobe-harness nightly run {report.night.id}")
    for done, groups in tests(report):
        found = [(name, test) for name, cells in groups for test in cells]
        suite = ElementTree.SubElement(
            top,
            "testsuite",
            name=done.unit,
            tests=str(len(found)),
            failures=str(sum(bool(test.reasons) and not test.error for _, test in found)),
            errors=str(sum(test.error for _, test in found)),
            time=f"{done.ended - done.started:.1f}",
        )
        for name, test in found:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"{done.unit}.{name}", name=test.name
            )
            if test.reasons:
                kind = "error" if test.error else "failure"
                why = ElementTree.SubElement(case, kind, message=test.reasons[0])
                why.text = "\n".join(test.reasons)
            elif not test.predicted:
                ElementTree.SubElement(case, "skipped", message=Status.UNPREDICTED.value)
            elif test.seen:
                ElementTree.SubElement(case, "system-out").text = test.seen
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
