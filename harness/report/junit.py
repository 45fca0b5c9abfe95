# SPDX-License-Identifier: GPL-2.0-only
"""JUnit XML, as GitLab and Jenkins read it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from harness.report import words
from harness.run.plan import Result

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """Console text may hold what XML 1.0 cannot."""
    return _FORBIDDEN.sub("?", text)


def suite(result: Result) -> ElementTree.Element:
    """One test case for each verdict; what was not played is an error."""
    errors = words.run_complaints(result)
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
            failure = ElementTree.SubElement(case, "failure", message=clean(outcome.reasons[0]))
            lines = [*outcome.reasons, *(line for s in outcome.splats for line in s.lines)]
            failure.text = clean("\n".join(lines))
        else:
            ElementTree.SubElement(case, "system-out").text = words.cell(outcome)
    for complaint in errors:
        case = ElementTree.SubElement(top, "testcase", classname=result.release, name="the run")
        ElementTree.SubElement(case, "error", message=clean(complaint))
    return top


def text(top: ElementTree.Element) -> str:
    """An element as a file."""
    ElementTree.indent(top)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        + ElementTree.tostring(top, encoding="unicode")
        + "\n"
    )


def document(result: Result) -> str:
    return text(suite(result))
