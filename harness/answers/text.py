# SPDX-License-Identifier: GPL-2.0-only
"""The page of answers on a terminal, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from harness import printable
from harness.answers.page import SHORT, SOURCES, TITLE, Page, facts, kind
from harness.report import summaries, terminal

_STYLES = {"holds": "green", "partly": "yellow", "fails": "yellow", "unknown": "dim"}


def show(page: Page) -> None:
    """Print the short form, then each claim."""
    out = terminal.console()
    rows: list[Sequence[str | Text]] = [
        (question, Text(printable.line(words), _STYLES[kind(answer)]), numbers)
        for answer, (question, words, numbers) in zip(page.answers, page.short)
    ]
    terminal.print_rows(page.sentence, SHORT, rows)
    for line in summaries.few(list(page.warnings)):
        out.print()
        terminal.say(line, terminal.COMPLAINT)
    for answer in page.answers:
        out.print()
        terminal.say(answer.claim.question, "bold")
        for label, text in facts(answer):
            terminal.say(f"{label}: {text}", depth=2)
    if page.sources:
        out.print()
        terminal.print_rows("the results", SOURCES, page.sources)


def markdown(page: Page) -> str:
    """Return the page as Markdown."""
    return "".join(f"{line}\n" for line in _markdown(page))


def _markdown(page: Page) -> Iterator[str]:
    yield f"# {TITLE}"
    yield ""
    yield _escaped(page.sentence)
    yield ""
    yield from table(SHORT, page.short)
    for line in summaries.few(list(page.warnings)):
        yield ""
        yield f"**{_escaped(line)}**"
    for answer in page.answers:
        yield ""
        yield f"## {_escaped(answer.claim.question)}"
        yield ""
        for label, text in facts(answer):
            yield f"- {_escaped(label)}: {_said(text)}"
    if page.sources:
        yield ""
        yield "## The results"
        yield ""
        yield from table(SOURCES, page.sources)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(_escaped(cell) for cell in row)} |"


def _said(text: str) -> str:
    """Return a sentence escaped, or a command as code."""
    return f"`{text}`" if text.startswith("jprobe-harness ") else _escaped(text)


def _escaped(text: str) -> str:
    """Return text of which nothing is markup, on one line."""
    line = printable.line(text)
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", line)
