# SPDX-License-Identifier: GPL-2.0-only
"""The page of answers as one HTML file that needs nothing else."""

from __future__ import annotations

from jinja2 import ChoiceLoader, PackageLoader

from harness.answers.page import SHORT, SOURCES, TITLE, Page, facts, kind
from harness.nightly.outputs.html import environment
from harness.report import summaries


def document(page: Page) -> str:
    """Return the HTML."""
    # The colours and the type are those of a nightly run's page.
    loader = ChoiceLoader(
        [PackageLoader("harness.answers", "page"), PackageLoader("harness.nightly.outputs", "page")]
    )
    rows = [(answer, kind(answer), row) for answer, row in zip(page.answers, page.short)]
    return (
        environment(loader)
        .get_template("answers.html.j2")
        .render(
            title=TITLE,
            page=page,
            header=SHORT,
            rows=rows,
            warnings=list(summaries.few(list(page.warnings))),
            facts=facts,
            sources=SOURCES,
        )
    )
