# SPDX-License-Identifier: GPL-2.0-only
"""Holds the claims of the review and of kprobes.txt against results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands import output
from harness.commands.options import add_case_dir, add_store
from harness.commands.output import Output, as_json

if TYPE_CHECKING:
    from harness.answers.evidence import Evidence
    from harness.answers.page import Page

SUMMARY = "hold what the review of July 2016 and kprobes.txt claim against results"
EXAMPLE = "jprobe-harness answers out.json --html answers.html"


def _json(page: Page) -> bytes:
    from harness.answers import as_json as answers

    return as_json(answers.document(page))


def _markdown(page: Page) -> bytes:
    from harness.answers import text

    return text.markdown(page).encode()


def _html(page: Page) -> bytes:
    from harness.answers import html

    return html.document(page).encode()


OUTPUTS = (
    Output("json", "the answers as JSON", _json),
    Output("markdown", "the page as Markdown", _markdown),
    Output("html", "the page as one HTML file", _html),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results",
        nargs="*",
        type=Path,
        metavar="RESULT",
        help="what repro, cost, storm or survey wrote with --json; '-' for standard input"
        " (default: the newest nightly run)",
    )
    add_store(parser)
    add_case_dir(parser)
    for one in OUTPUTS:
        one.add(parser)


def run(options: argparse.Namespace) -> int:
    from harness.answers import claim, text
    from harness.answers.answer import answered
    from harness.answers.found import known
    from harness.answers.page import Page
    from harness.cases.catalog import Catalog

    evidence = _evidence(options)
    answers = answered(claim.load(), evidence, known(Catalog(options.case_dir)))
    page = Page(answers, evidence)
    output.report(options, OUTPUTS, page, text.show)
    return page.exit_status


def _evidence(options: argparse.Namespace) -> Evidence:
    """Return the results in the files, and those in the store if it is named or nothing else is."""
    from harness.answers import documents
    from harness.answers.evidence import together

    found = [documents.read(str(path)) for path in options.results]
    if options.store is not None or not found:
        from harness.answers import nights
        from harness.nightly.store import Store, default_url

        with Store(default_url() if options.store is None else options.store) as store:
            found.append(nights.newest(store))
    return together(found)
