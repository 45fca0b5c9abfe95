# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run as plain text of 78 columns, fit for a reply on a mailing list."""

from __future__ import annotations

import shlex
import textwrap
import time
from collections.abc import Iterator

from harness import printable
from harness.nightly.compare import Regression, Sort
from harness.nightly.night import Report
from harness.nightly.outputs.summary import missing, row, sentence
from harness.nightly.unit import UnitKind
from harness.report import summaries

COLUMNS = 78
# How many regressions a mail lists; JSON has all.
NAMED = 50


def text(report: Report, failure: Exception | None = None) -> str:
    """Subject and body, and what failed after the nightly run itself."""
    return printable.lines((*_lines(report), *_failed(failure)))


def failed(name: str, failure: Exception | None) -> str:
    """Subject and body for a nightly run that did not come to its end."""
    subject = f"Subject: [jprobe-harness] a nightly run over {name} failed"
    return printable.lines((subject, *_failed(failure)))


def _failed(failure: Exception | None) -> Iterator[str]:
    if failure:
        yield ""
        for line in (*str(failure).splitlines(), *getattr(failure, "__notes__", ())):
            yield from _wrapped(line)


def _lines(report: Report) -> Iterator[str]:
    count = len(report.regressions)
    found = f"{count} regression{'' if count == 1 else 's'}" if count else "no regression"
    yield f"Subject: [jprobe-harness] {found} in nightly run {report.night.id}"
    yield ""
    when = time.strftime("%Y-%m-%d %H:%M %z", time.localtime(report.night.started))
    yield from _wrapped(f"Nightly run {report.night.id} of {when}: {report.night.shows}.")
    yield from _wrapped(sentence(report))
    yield ""
    rows = [row(done)[:3] for done in report.results]
    widths = [max((len(one[column]) for one in rows), default=0) for column in range(3)]
    for one in rows:
        yield from _wrapped("  ".join(word.ljust(w) for word, w in zip(one, widths)), "  ")
    for line in missing(report):
        yield from _wrapped(f"missing: {line}", "  ")
    for regression in report.regressions[:NAMED]:
        yield ""
        yield from _regression(regression)
    if count > NAMED:
        yield ""
        yield f"and {count - NAMED} more."
    if count:
        yield ""
        yield "To see the first one:"
        yield from _wrapped(f"  {_again(report)}", "  ")


def _regression(one: Regression) -> Iterator[str]:
    yield from _wrapped(f"* {one.place}", "  ")
    yield from _wrapped(f"  {one.was} -> {one.is_}" if one.was else f"  {one.is_}", "    ")
    for detail in summaries.few(one.details):
        for line in summaries.short(detail).splitlines():
            yield from _wrapped(f"  {line}", "    ")


# The command that reproduces a regression, if it is not repro.
_COMMANDS = {Sort.COST: "cost"}


def _again(report: Report) -> str:
    """Return the command that reproduces the first regression, random signatures last."""
    one = next((r for r in report.regressions if r.sort is not Sort.FUZZ), report.regressions[0])
    place = one.place
    compiler = ["--cc", place.compiler] if place.compiler != "gcc" else []
    if one.sort is Sort.FUZZ:
        unit = next(
            u for u in report.planned if (u.kernel, u.kind) == (place.kernel, UnitKind.FUZZ)
        )
        command = ["fuzz", "--kernel", place.kernel, "--seed", str(unit.seed)]
        command += ["--count", str(unit.count)]
    else:
        name = "tracers" if place.tracer else _COMMANDS.get(one.sort, "repro")
        command = [name, "--kernel", place.kernel]
        command += ["--variant", place.variant] if place.variant else []
        command += ["--tracer", place.tracer] if place.tracer else []
        command += ["--case", place.case] if place.case else []
    return shlex.join(["jprobe-harness", *command, *compiler])


def _wrapped(line: str, indent: str = "") -> list[str]:
    """Return lines of at most 78 columns; a longer word, such as a path, is not broken."""
    wrapper = textwrap.TextWrapper(
        COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.wrap(line.rstrip())
