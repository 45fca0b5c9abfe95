# SPDX-License-Identifier: GPL-2.0-only
"""The page of answers as one HTML file that needs nothing else."""

from __future__ import annotations

from harness.answers.page import SHORT, SOURCES, TITLE, Page, facts, kind
from harness.report import summaries
from harness.report.formats.html import template


def document(page: Page) -> str:
    """Return the HTML."""
    rows = [(answer, kind(answer), row) for answer, row in zip(page.answers, page.short)]
    return template("harness.answers", "answers.html.j2").render(
        title=TITLE,
        page=page,
        header=SHORT,
        rows=rows,
        warnings=list(summaries.few(list(page.warnings))),
        facts=facts,
        sources=SOURCES,
    )
