# SPDX-License-Identifier: GPL-2.0-only
"""KTAP, as Documentation/dev-tools/ktap.rst of the kernel describes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness import printable
from harness.report import summaries
from harness.report.formats.testcase import Group, Test
from harness.run.result import Result


def name(text: str) -> str:
    """Return a test's name without "#", which would begin a directive."""
    return text.replace("#", "")


def results(found: Sequence[Test | Group], subtest: str = "") -> Iterator[str]:
    """Yield the version, the plan, and the result of each test; groups are subtests."""
    yield "KTAP version 1"
    if subtest:
        yield f"# Subtest: {subtest}"
    yield f"1..{len(found)}"
    for number, one in enumerate(found, 1):
        yield from _group(one, number) if isinstance(one, Group) else _test(one, number)


def _group(group: Group, number: int) -> Iterator[str]:
    yield from (f"  {line}" for line in results(group.members, group.name))
    tests = list(group.tests)
    status = "not ok" if any(test.reasons for test in tests) else "ok"
    reasons = {test.skipped for test in tests}
    # A group is skipped only as a whole, and for one reason.
    yield f"{status} {number} {name(group.name)}{_skip(reasons.pop() if len(reasons) == 1 else '')}"


def _test(test: Test, number: int) -> Iterator[str]:
    for reason in test.reasons:
        for line in reason.splitlines():
            yield f"# {test.name}: {line}"
    status = "not ok" if test.reasons else "ok"
    seen = f" - {test.seen}" if test.seen else ""
    yield f"{status} {number} {name(test.name + seen)}{_skip(test.skipped)}"


def _skip(reason: str) -> str:
    return f" # SKIP {name(reason)}" if reason else ""


def lines(result: Result) -> Iterator[str]:
    """Yield KTAP lines, with a subtest for each variant, and in it a test for each case."""
    by_variant: dict[str, list[Test]] = {}
    for outcome in result.outcomes:
        test = Test(outcome.play.case.name, summaries.cell(outcome), tuple(outcome.reasons))
        by_variant.setdefault(outcome.play.variant.name, []).append(test)
    complaints = summaries.run_complaints(result)
    yield "KTAP version 1"
    yield f"1..{len(by_variant) + bool(complaints)}"
    yield f"# jprobe-harness on {result.release}"
    for number, (variant, tests) in enumerate(by_variant.items(), 1):
        yield from _group(Group(variant, tuple(tests)), number)
    if complaints:
        for text in complaints:
            yield f"# {' '.join(text.split())}"
        yield f"not ok {len(by_variant) + 1} run"


def document(result: Result) -> str:
    return printable.lines(lines(result))
