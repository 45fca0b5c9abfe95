# SPDX-License-Identifier: GPL-2.0-only
"""Reports a nightly run on the terminal, and in the formats that the user asks for."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.commands import output
from harness.commands.options import add_all
from harness.commands.output import Output, as_json

if TYPE_CHECKING:
    from harness.nightly.night import Report
    from harness.nightly.outputs.html import Past
    from harness.nightly.store import NightlyRun, Store

# Nightly runs that a page looks back on.
PAST = 30


@dataclass(frozen=True)
class Contents:
    """A nightly run with its past, from which the formats are made."""

    report: Report
    past: Past
    # The origin for KCIDB, the name of a CI system; "" for this program itself.
    origin: str


def _json(night: Contents) -> bytes:
    from harness.nightly.outputs import summary

    return as_json(summary.document(night.report))


def _html(night: Contents) -> bytes:
    from harness.nightly.outputs import html

    return html.document(night.report, night.past).encode()


def _junit(night: Contents) -> bytes:
    from harness.nightly.outputs import formats

    return formats.as_junit(night.report).encode()


def _ktap(night: Contents) -> bytes:
    from harness.nightly.outputs import formats

    return formats.as_ktap(night.report).encode()


def _kcidb(night: Contents) -> bytes:
    from harness.nightly.outputs import kcidb

    return kcidb.document(night.report, night.origin or kcidb.ORIGIN)


def _mail(night: Contents) -> bytes:
    from harness.nightly.outputs import mail

    return mail.text(night.report).encode()


def _annotations(night: Contents) -> bytes:
    from harness.nightly.outputs import formats

    return formats.as_annotations(night.report).encode()


OUTPUTS: Sequence[Output[Contents]] = (
    Output("json", "the regressions as JSON", _json),
    Output("html", "one HTML file with every cell", _html),
    Output("junit", "JUnit XML", _junit),
    Output("ktap", "KTAP", _ktap),
    Output("kcidb", "KCIDB's JSON", _kcidb),
    Output("mail", "plain text for a mailing list", _mail),
    Output("annotations", "annotations for a GitHub workflow", _annotations),
)


def _origin(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+", text):
        raise ValueError
    return text


def add_formats(parser: argparse.ArgumentParser) -> None:
    """Add an option for each format, and the options that they need."""
    add_all(parser)
    for one in OUTPUTS:
        one.add(parser)
    parser.add_argument(
        "--origin",
        type=_origin,
        metavar="NAME",
        help="the CI system's name for KCIDB, in lower-case letters, digits and underscores"
        " (default: jprobe_harness)",
    )


def recall(store: Store, now: NightlyRun, options: argparse.Namespace) -> tuple[Report, Past]:
    """A nightly run with as much of it, and of those before, as the formats need."""
    from harness.nightly import night
    from harness.nightly.outputs.html import Past

    whole = bool(options.html)
    nights = [one for one in store.nights() if one.name == now.name and one.id <= now.id]
    nights = nights[:PAST][::-1] if whole else []
    past = Past(nights, [store.results(one) for one in nights])
    return night.report(store, now, looks=whole), past


def report(options: argparse.Namespace, found: Report, past: Past) -> None:
    """Write what was asked for; the table too, unless that would be in its way."""
    from harness.nightly.outputs import summary

    night = Contents(found, past, options.origin or "")
    output.report(options, OUTPUTS, night, lambda night: summary.show(night.report, options.all))
