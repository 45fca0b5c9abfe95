# SPDX-License-Identifier: GPL-2.0-only
"""KTAP, as Documentation/dev-tools/ktap.rst of the kernel describes it."""

from __future__ import annotations

from collections.abc import Iterator

from harness import printable
from harness.report import summaries
from harness.run.plan import Outcome
from harness.run.result import Result


def name(text: str) -> str:
    """Return a test's name without "#", which would begin a directive."""
    return text.replace("#", "")


def _subtest(number: int, outcome: Outcome) -> Iterator[str]:
    for reason in outcome.reasons:
        for line in reason.splitlines():
            yield f"  # {outcome.play.case.name}: {line}"
    status = "ok" if outcome.agrees else "not ok"
    yield f"  {status} {number} {outcome.play.case.name} - {name(summaries.cell(outcome))}"


def lines(result: Result) -> Iterator[str]:
    """Yield KTAP lines, with a subtest for each variant, and in it a test for each case."""
    by_variant: dict[str, list[Outcome]] = {}
    for outcome in result.outcomes:
        by_variant.setdefault(outcome.play.variant.name, []).append(outcome)
    complaints = summaries.run_complaints(result)
    yield "KTAP version 1"
    yield f"1..{len(by_variant) + bool(complaints)}"
    yield f"# jprobe-harness on {result.release}"
    for number, (variant, outcomes) in enumerate(by_variant.items(), 1):
        yield "  KTAP version 1"
        yield f"  # Subtest: {variant}"
        yield f"  1..{len(outcomes)}"
        for index, outcome in enumerate(outcomes, 1):
            yield from _subtest(index, outcome)
        status = "ok" if all(outcome.agrees for outcome in outcomes) else "not ok"
        yield f"{status} {number} {name(variant)}"
    if complaints:
        for text in complaints:
            yield f"# {' '.join(text.split())}"
        yield f"not ok {len(by_variant) + 1} run"


def document(result: Result) -> str:
    return printable.lines(lines(result))
