# SPDX-License-Identifier: GPL-2.0-only
"""Reports on several kernels in one table, and where they differ from each other."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from harness import printable
from harness.report import summaries, terminal
from harness.report.formats import json_report, junit, ktap
from harness.run.logs import see
from harness.run.result import Comparison, Result

SCHEMA = 2


@dataclass(frozen=True)
class Difference:
    """Cases in which a variant's corruption has different classes on different kernels."""

    variant: str
    # The specs of the kernels, by class of corruption.
    classes: dict[str, list[str]]
    cases: list[str]


def differences(results: Sequence[Result]) -> list[Difference]:
    """Return the differences, equal ones merged, by variant in the plan's order."""
    cells: dict[tuple[str, str], dict[str, list[str]]] = {}
    for result in results:
        for outcome in result.outcomes:
            cell = cells.setdefault((outcome.play.variant.name, outcome.play.case.name), {})
            cell.setdefault(summaries.label(outcome), []).append(result.spec)
    variants = list(dict.fromkeys(variant for variant, _ in cells))
    alike: dict[tuple[str, str], Difference] = {}
    for variant in variants:
        for (name, case), classes in cells.items():
            if name == variant and len(classes) > 1:
                found = alike.setdefault(
                    (variant, repr(sorted(classes.items()))), Difference(variant, classes, [])
                )
                found.cases.append(case)
    return list(alike.values())


def _row(result: Result, variants: Sequence[str]) -> Iterator[Text]:
    yield Text(result.spec)
    yield Text(result.release)
    for name in variants:
        outcomes = [o for o in result.outcomes if o.play.variant.name == name]
        intact = sum(summaries.cell(outcome) == "intact" for outcome in outcomes)
        wrong = sum(not outcome.agrees for outcome in outcomes)
        text = f"{intact} of {len(outcomes)}" if outcomes else "not played"
        yield Text(f"{terminal.MISMATCH}{wrong}, {text}", terminal.DIFFERS) if wrong else Text(text)


def print_comparison(comparison: Comparison, everything: bool = False) -> None:
    """Print a table of kernels and variants; then what differs, and what went wrong."""
    out = terminal.console()
    names = (o.play.variant.name for result in comparison.results for o in result.outcomes)
    variants = list(dict.fromkeys(names))
    rows: list[Sequence[Text | str]] = [
        list(_row(result, variants)) for result in comparison.results
    ]
    rows += [
        (unjudged.spec, Text("not judged", terminal.DIFFERS), *[""] * len(variants))
        for unjudged in comparison.unjudged
    ]
    terminal.print_rows(
        "cases that each stack policy leaves intact", ("kernel", "release", *variants), rows
    )
    if found := differences(comparison.results):
        out.print()
        terminal.print_rows(
            "where the kernels differ from each other",
            ("variant", "class on which kernels", "cases"),
            [(d.variant, _classes(d), terminal.some(d.cases)) for d in found],
        )
    print_complaints(comparison, everything)
    out.print()
    for result in comparison.results:
        terminal.say(f"{result.spec}: {summaries.summary(result)}", "bold")
        if result.exit_status:
            terminal.say(see(result.logs))


def print_complaints(comparison: Comparison, everything: bool = False) -> None:
    """Print what went wrong, run by run."""
    for result in comparison.results:
        terminal.print_differing(result.differing, everything, f" on {result.spec}")
        for error in summaries.few(result.errors):
            terminal.say(f"\n{result.spec}: {error}", terminal.COMPLAINT)
    for unjudged in comparison.unjudged:
        terminal.say(f"\n{unjudged.spec}: {unjudged.sentence}", terminal.COMPLAINT)
        if unjudged.hint:
            terminal.say(unjudged.hint, depth=2)


def _classes(difference: Difference) -> str:
    return "; ".join(
        f"{label}: {', '.join(kernels)}" for label, kernels in difference.classes.items()
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return each run as in the JSON for one kernel, and where the kernels differ."""
    return {
        "schema": SCHEMA,
        "runs": [json_report.document(result) for result in comparison.results],
        "unjudged": [
            {"kernel": u.spec, "error": u.sentence, "exit_status": int(u.exit_status)}
            for u in comparison.unjudged
        ],
        "differences": [
            {"variant": d.variant, "classes": d.classes, "cases": d.cases}
            for d in differences(comparison.results)
        ],
        "exit_status": int(comparison.exit_status),
    }


def as_junit(comparison: Comparison) -> str:
    """Return JUnit XML, with a test suite for each kernel."""
    top = ElementTree.Element("testsuites")
    top.extend(junit.suite(result) for result in comparison.results)
    for unjudged in comparison.unjudged:
        suite = ElementTree.SubElement(
            top, "testsuite", name=f"jprobe-harness {unjudged.spec}", tests="1", errors="1"
        )
        case = ElementTree.SubElement(suite, "testcase", classname=unjudged.spec, name="the run")
        ElementTree.SubElement(case, "error", message=unjudged.sentence)
    return junit.text(top)


def as_ktap(comparison: Comparison) -> str:
    """Return KTAP, with a subtest for each kernel."""
    total = len(comparison.results) + len(comparison.unjudged)
    lines = ["KTAP version 1", f"1..{total}"]
    for number, result in enumerate(comparison.results, 1):
        lines += [f"  {line}" for line in ktap.lines(result)]
        status = "not ok" if result.exit_status else "ok"
        lines.append(f"{status} {number} {ktap.name(result.spec)}")
    for number, unjudged in enumerate(comparison.unjudged, len(comparison.results) + 1):
        lines += [f"# {unjudged.sentence}", f"not ok {number} {ktap.name(unjudged.spec)}"]
    return printable.lines(lines)
