# SPDX-License-Identifier: GPL-2.0-only
"""JUnit XML, as GitLab and Jenkins read it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from harness import printable
from harness.report import summaries
from harness.report.formats.testcase import Test
from harness.run.result import Result


def tests(name: str, found: Sequence[tuple[str, Test]]) -> ElementTree.Element:
    """Return a test suite of tests, each with the name of its class."""
    suite = ElementTree.Element(
        "testsuite",
        name=name,
        tests=str(len(found)),
        failures=str(sum(bool(test.reasons) and not test.error for _, test in found)),
        errors=str(sum(test.error for _, test in found)),
        skipped=str(sum(bool(test.skipped) for _, test in found)),
    )
    for classname, test in found:
        _add(suite, classname, test)
    return suite


def _add(suite: ElementTree.Element, classname: str, test: Test) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=classname, name=test.name)
    if test.reasons:
        kind = "error" if test.error else "failure"
        why = ElementTree.SubElement(case, kind, message=test.reasons[0])
        why.text = "\n".join(test.reasons)
        return
    if test.skipped:
        ElementTree.SubElement(case, "skipped", message=test.skipped)
    if test.seen:
        ElementTree.SubElement(case, "system-out").text = test.seen


def suite(result: Result) -> ElementTree.Element:
    """Return a test suite with a case for each verdict; plays that were not reached are errors."""
    errors = summaries.run_complaints(result)
    top = ElementTree.Element(
        "testsuite",
        name=f"jprobe-harness {result.release}",
        tests=str(len(result.outcomes) + len(errors)),
        failures=str(len(result.differing)),
        errors=str(len(errors)),
    )
    properties = ElementTree.SubElement(top, "properties")
    facts = {"kernel": result.release, "engine": result.engine, "compiler": result.compiler}
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=name, value=value)
    for outcome in result.outcomes:
        console = (line for splat in outcome.splats for line in splat.lines)
        reasons = () if outcome.agrees else (*outcome.reasons, *console)
        test = Test(outcome.play.case.name, summaries.cell(outcome), reasons)
        _add(top, f"{result.release}.{outcome.play.variant.name}", test)
    for complaint in errors:
        case = ElementTree.SubElement(top, "testcase", classname=result.release, name="the run")
        ElementTree.SubElement(case, "error", message=complaint)
    return top


def text(top: ElementTree.Element) -> str:
    """Return an element as a file, with characters escaped that XML 1.0 does not allow."""
    for element in top.iter():
        element.text = element.text and printable.shown(element.text)
        element.attrib.update(printable.strings(element.attrib))
    ElementTree.indent(top)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        + ElementTree.tostring(top, encoding="unicode")
        + "\n"
    )


def document(result: Result) -> str:
    return text(suite(result))
