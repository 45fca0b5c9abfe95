# SPDX-License-Identifier: GPL-2.0-only
"""JUnit XML, as GitLab and Jenkins read it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from harness import printable
from harness.report import summaries
from harness.run.result import Result


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
        case = ElementTree.SubElement(
            top,
            "testcase",
            classname=f"{result.release}.{outcome.play.variant.name}",
            name=outcome.play.case.name,
        )
        if not outcome.agrees:
            failure = ElementTree.SubElement(case, "failure", message=outcome.reasons[0])
            lines = [*outcome.reasons, *(line for s in outcome.splats for line in s.lines)]
            failure.text = "\n".join(lines)
        else:
            ElementTree.SubElement(case, "system-out").text = summaries.cell(outcome)
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
