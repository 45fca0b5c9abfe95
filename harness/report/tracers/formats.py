# SPDX-License-Identifier: GPL-2.0-only
"""The cells of tracers as JUnit XML and as KTAP: a test for each, a group for each tracer."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence

from harness import printable
from harness.report.formats import junit, ktap
from harness.report.formats.testcase import Group, Test
from harness.report.tracers import words
from harness.tracers.cell import Cell, Status
from harness.tracing.run import Tracing


def as_junit(found: Sequence[Tracing]) -> str:
    """Return JUnit XML, with a test suite for each kernel and tracer."""
    top = ElementTree.Element("testsuites", name="jprobe-harness tracers")
    for one in found:
        for group in _groups(one):
            classname = f"{one.release}.{group.name}"
            tests = [(classname, test) for test in group.tests]
            top.append(junit.tests(f"{one.release} {group.name}", tests))
    return junit.text(top)


def as_ktap(found: Sequence[Tracing]) -> str:
    """Return KTAP, with a subtest for each kernel, and in it one for each tracer."""
    return printable.lines(ktap.results([Group(one.spec, tuple(_groups(one))) for one in found]))


def _groups(one: Tracing) -> Iterator[Group]:
    for name, cells in words.by_tracer(one).items():
        yield Group(name, tuple(map(_test, cells)))
    if wrong := tuple(words.complaints(one)):
        yield Group("run", (Test("complete", "", wrong, error=True),))


def _test(cell: Cell) -> Test:
    skipped = words.UNPREDICTED if cell.status is Status.UNPREDICTED else ""
    return Test(cell.case.name, words.in_short(cell), cell.mismatches, skipped=skipped)
