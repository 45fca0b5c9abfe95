# SPDX-License-Identifier: GPL-2.0-only
"""Several kernels in one table, and where they differ from each other."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from harness.report import json_report, junit, ktap, terminal, words
from harness.run.logs import see
from harness.run.plan import Result, Survey

SCHEMA = 1
# Cases of a difference that a line names; JSON has them all.
SHOWN = 6


@dataclass(frozen=True)
class Difference:
    """Cases that a variant leaves corrupt in another way on some kernels than on others."""

    variant: str
    # By class of corruption: the kernels, as the user named them.
    classes: dict[str, list[str]]
    cases: list[str]


def differences(results: Sequence[Result]) -> list[Difference]:
    """Alike ones together, by variant in the plan's order."""
    cells: dict[tuple[str, str], dict[str, list[str]]] = {}
    for result in results:
        for outcome in result.outcomes:
            cell = cells.setdefault((outcome.play.variant.name, outcome.play.case.name), {})
            cell.setdefault(words.label(outcome), []).append(result.spec)
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


def _row(result: Result) -> Iterator[Text]:
    yield Text(result.spec)
    yield Text(result.release)
    by_variant: dict[str, list[bool]] = {}
    intact: dict[str, int] = {}
    for outcome in result.outcomes:
        name = outcome.play.variant.name
        by_variant.setdefault(name, []).append(outcome.agrees)
        intact[name] = intact.get(name, 0) + (words.cell(outcome) == "intact")
    for name, agrees in by_variant.items():
        text = f"{intact[name]} of {len(agrees)}"
        wrong = agrees.count(False)
        yield Text(f"{terminal.MISMATCH}{wrong}, {text}", "bold red") if wrong else Text(text)


def print_survey(survey: Survey) -> None:
    """Kernels down, variants across; then what differs, and what went wrong."""
    out = terminal.console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("kernel", no_wrap=True)
    table.add_column("release")
    names = (o.play.variant.name for result in survey.results for o in result.outcomes)
    for name in dict.fromkeys(names):
        table.add_column(name)
    for result in survey.results:
        table.add_row(*_row(result))
    for unjudged in survey.unjudged:
        table.add_row(unjudged.spec, Text("not judged", "bold red"))
    terminal.print_titled("cases that each stack policy leaves intact", table)
    if found := differences(survey.results):
        out.print()
        terminal.print_rows(
            "where the kernels differ from each other",
            ("variant", "class on which kernels", "cases"),
            [(d.variant, _classes(d), _some(d.cases)) for d in found],
        )
    print_complaints(survey)
    out.print()
    for result in survey.results:
        out.print(Text(f"{result.spec}: {words.summary(result)}", style="bold"))
        if result.exit_status:
            out.print(Text(see(result.logs)))


def print_complaints(survey: Survey) -> None:
    """What went wrong, run by run."""
    out = terminal.console()
    for result in survey.results:
        for outcome in result.differing:
            out.print(Text(f"\n{terminal.MISMATCH}{outcome.play} on {result.spec}", "bold red"))
            for reason in outcome.reasons:
                out.print(Text(f"    {reason}"))
        for trouble in result.trouble:
            out.print(Text(f"\n{result.spec}: {trouble}", "bold red"))
    for unjudged in survey.unjudged:
        out.print(Text(f"\n{unjudged.spec}: {unjudged.sentence}", "bold red"))
        if unjudged.hint:
            out.print(Text(f"  {unjudged.hint}"))


def _classes(difference: Difference) -> str:
    return "; ".join(
        f"{label}: {', '.join(kernels)}" for label, kernels in difference.classes.items()
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def as_json(survey: Survey) -> dict[str, Any]:
    """Each run as repro has it for one kernel, and what differs between them."""
    return {
        "schema": SCHEMA,
        "runs": [json_report.document(result) for result in survey.results],
        "unjudged": [
            {"kernel": u.spec, "error": u.sentence, "exit_status": int(u.exit_status)}
            for u in survey.unjudged
        ],
        "differences": [
            {"variant": d.variant, "classes": d.classes, "cases": d.cases}
            for d in differences(survey.results)
        ],
        "exit_status": int(survey.exit_status),
    }


def as_junit(survey: Survey) -> str:
    """A test suite for each kernel."""
    top = ElementTree.Element("testsuites")
    top.extend(junit.suite(result) for result in survey.results)
    for unjudged in survey.unjudged:
        suite = ElementTree.SubElement(
            top, "testsuite", name=f"jprobe-harness {unjudged.spec}", tests="1", errors="1"
        )
        case = ElementTree.SubElement(suite, "testcase", classname=unjudged.spec, name="the run")
        ElementTree.SubElement(case, "error", message=unjudged.sentence)
    return junit.text(top)


def as_ktap(survey: Survey) -> str:
    """A subtest for each kernel."""
    total = len(survey.results) + len(survey.unjudged)
    lines = ["KTAP version 1", f"1..{total}"]
    for number, result in enumerate(survey.results, 1):
        lines += [f"  {line}" for line in ktap.lines(result)]
        status = "not ok" if result.exit_status else "ok"
        lines.append(f"{status} {number} {result.spec}")
    for number, unjudged in enumerate(survey.unjudged, len(survey.results) + 1):
        lines += [f"# {unjudged.sentence}", f"not ok {number} {unjudged.spec}"]
    return "".join(f"{line}\n" for line in lines)
