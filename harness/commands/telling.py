# SPDX-License-Identifier: GPL-2.0-only
"""Tells a night on the terminal, and in the formats that the user asks for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.options import add_all, add_json
from harness.commands.output import as_json, write

if TYPE_CHECKING:
    from harness.nightly.html import Past
    from harness.nightly.night import Report
    from harness.nightly.store import Night, Store

FORMATS = {
    "html": "one HTML file with every cell",
    "junit": "JUnit XML",
    "ktap": "KTAP",
    "kcidb": "KCIDB's JSON",
    "mail": "plain text for a mailing list",
    "annotations": "annotations for a GitHub workflow",
}
# Nights that a page looks back on.
PAST = 30


def add_formats(parser: argparse.ArgumentParser) -> None:
    """--json, one option for each format, and what they need."""
    add_all(parser)
    add_json(parser, "the regressions")
    for name, what in FORMATS.items():
        parser.add_argument(f"--{name}", metavar="FILE", help=f"write {what}")
    parser.add_argument(
        "--origin",
        metavar="NAME",
        help="for KCIDB, the CI system that this is (default: jprobe_harness)",
    )


def recall(store: Store, now: Night, options: argparse.Namespace) -> tuple[Report, Past]:
    """A night with as much of it, and of those before, as the formats need."""
    from harness.nightly import night
    from harness.nightly.html import Past

    whole = bool(options.html)
    nights = [one for one in store.nights() if one.name == now.name and one.id <= now.id]
    nights = nights[:PAST][::-1] if whole else []
    past = Past(nights, [store.results(one) for one in nights])
    return night.report(store, now, looks=whole), past


def tell(options: argparse.Namespace, found: Report, past: Past) -> None:
    """Write what was asked for; the table too, unless that would be in its way."""
    from harness.nightly import told

    if "-" not in (options.json, *(getattr(options, name) for name in FORMATS)):
        told.show(found, options.all)
    if options.json:
        write(options.json, as_json(told.document(found)))
    for name in FORMATS:
        if path := getattr(options, name):
            write(path, _formatted(name, found, past, options))


def _formatted(name: str, found: Report, past: Past, options: argparse.Namespace) -> bytes:
    from harness.nightly import formats, html, kcidb, mail

    if name == "kcidb":
        return kcidb.document(found, options.origin or kcidb.ORIGIN)
    if name == "html":
        return html.document(found, past).encode()
    makers = {
        "junit": formats.as_junit,
        "ktap": formats.as_ktap,
        "mail": mail.text,
        "annotations": formats.as_annotations,
    }
    return makers[name](found).encode()
