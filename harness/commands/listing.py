# SPDX-License-Identifier: GPL-2.0-only
"""Lists kernels, variants, cases or tracers."""

from __future__ import annotations

import argparse

from harness.commands.options import add_case_dir, add_json
from harness.commands.output import report_json
from harness.errors import Exit

SUMMARY = "list kernels, variants, cases or tracers"
EXAMPLE = "jprobe-harness list cases --case-dir my-cases"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("kernels", "variants", "cases", "tracers"))
    add_case_dir(parser)
    add_json(parser, "the list")


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.report import terminal

    catalog = Catalog(options.case_dir)
    if options.what == "kernels":
        from harness.kernel import ALL, spec

        header: tuple[str, ...] = ("name", "shows", "needs")
        rows: list[tuple[str, ...]] = [
            *((name, file.shows, "") for name, file in catalog.kernels.items()),
            (ALL, "each of these", ""),
            *((source.form, source.shows, source.needs) for source in spec.SOURCES),
        ]
    elif options.what == "variants":
        header = ("name", "saves", "origin")
        rows = [(v.name, v.saves, v.origin) for v in catalog.variants.values()]
        rows += [
            ("fixed:N", "min(N, stack top - SP)", "you"),
            ("tree", "what a source tree's own jprobes do", "the tree"),
            ("patch:FILE", "what they do with a patch", "you"),
        ]
    elif options.what == "tracers":
        from harness.tracers.catalog import tracers

        header = ("name", "since", "shows")
        rows = [(t.name, ".".join(map(str, t.since)), t.shows) for t in tracers().values()]
    else:
        header = ("name", "arguments", "context", "shows")
        rows = [(c.name, c.signature, c.context.value, c.shows) for c in catalog.cases.values()]
    report_json(
        options,
        lambda: [dict(zip(header, row)) for row in rows],
        lambda: terminal.print_rows(options.what, header, rows),
    )
    return Exit.AGREES
