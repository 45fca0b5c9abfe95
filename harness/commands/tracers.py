# SPDX-License-Identifier: GPL-2.0-only
"""Plays cases under today's probes, and judges what each read and left of each argument."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.options import (
    add_all,
    add_case_dir,
    add_cases,
    add_cc,
    add_json,
    add_kernel,
    kernel_options,
)
from harness.commands.output import report_json
from harness.commands.progress import bars
from harness.errors import Exit

if TYPE_CHECKING:
    from harness.tracing.run import Tracing

SUMMARY = "show what kprobe events, fprobes, func-args and BPF programs read of each argument"
EXAMPLE = "jprobe-harness tracers --kernel debian:7.2 --tracer fexit"
# Cells that are printed byte by byte.
_CELLS_MAX = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser, several=True)
    add_cc(parser)
    add_case_dir(parser)
    add_cases(parser)
    parser.add_argument(
        "--tracer",
        action="append",
        default=[],
        metavar="NAME",
        help="a tracer, such as kprobe or fexit, or a pattern of names; repeatable (default: all)",
    )
    add_all(parser)
    add_json(parser, "all cells")


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.kernel import spec
    from harness.report.tracers import documents, tables
    from harness.run import job
    from harness.tracers.catalog import select
    from harness.tracing import run as tracing
    from harness.tracing.chosen import own

    catalog = Catalog(options.case_dir)
    tracers = select(options.tracer)
    cases = own(catalog.select_cases(options.case))
    found: list[Tracing] = []
    with bars():
        for name in spec.expand(options.kernel, catalog):
            kernel, modules = job.prepare(
                name, catalog, options=kernel_options(options), traced=True
            )
            found.append(tracing.run(kernel, modules, tracers, cases))

    def show() -> None:
        tables.print_tracings(found, options.all)
        if len(tracers) * len(cases) <= _CELLS_MAX:
            tables.print_cells(found)

    report_json(options, lambda: documents.document(found), show)
    return max((one.exit_status for one in found), key=_order)


def _order(status: Exit) -> int:
    return (Exit.AGREES, Exit.INFRASTRUCTURE, Exit.DIFFERS).index(status)
