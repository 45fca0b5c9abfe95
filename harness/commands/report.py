# SPDX-License-Identifier: GPL-2.0-only
"""Reports once more a nightly run that is remembered."""

from __future__ import annotations

import argparse

from harness.commands.nightly_outputs import add_formats, recall, report
from harness.commands.options import add_store, count
from harness.errors import ConfigError

SUMMARY = "report a nightly run that is remembered, in any format"
EXAMPLE = "jprobe-harness report --html night.html"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "night", type=count, nargs="?", metavar="NIGHT", help="its number (default: the newest)"
    )
    add_store(parser)
    add_formats(parser)


def run(options: argparse.Namespace) -> int:
    from harness.nightly.store import Store, default_url

    with Store(default_url() if options.store is None else options.store) as store:
        if options.night:
            now = store.night(options.night)
        elif nights := store.nights():
            now = nights[0]
        else:
            raise ConfigError(
                "No nightly run is remembered.", "Play one: jprobe-harness nightly FILE"
            )
        found, past = recall(store, now, options)
    report(options, found, past)
    return found.exit_status
