# SPDX-License-Identifier: GPL-2.0-only
"""Plays cases under today's probes, and judges what each read and left of each argument."""

from __future__ import annotations

import argparse
from pathlib import Path
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
from harness.commands.output import complain, each, report_json, unwritable_folder
from harness.commands.progress import bars
from harness.errors import ConfigError, Exit

if TYPE_CHECKING:
    from harness.kernel.kernel import Bootable
    from harness.model.case import Case
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
        help="a tracer, such as kprobe or fexit; repeatable (default: all)",
    )
    parser.add_argument(
        "--reproducer",
        type=Path,
        metavar="DIR",
        help="write DIR/TRACER-CASE, a module and a program that show it without this one,"
        " for each BPF program that leaves an argument wrong",
    )
    add_all(parser)
    add_json(parser, "all cells")


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.kernel import spec
    from harness.report.tracers import documents, tables
    from harness.reproducer import folder
    from harness.run import job
    from harness.tracers.catalog import select
    from harness.tracing import run as tracing

    _check(options.reproducer)
    catalog = Catalog(options.case_dir)
    tracers = select(options.tracer)
    cases = _own(catalog.select_cases(options.case))
    kernels: list[Bootable] = []
    found: list[Tracing] = []
    with bars():
        for name in spec.expand(options.kernel, catalog):
            kernel, modules = job.prepare(
                name, catalog, options=kernel_options(options), traced=True
            )
            kernels.append(kernel)
            found.append(tracing.run(kernel, modules, tracers, cases))

    def show() -> None:
        tables.print_tracings(found, options.all)
        if len(tracers) * len(cases) <= _CELLS_MAX:
            tables.print_cells(found)

    def reproduce() -> None:
        if options.reproducer:
            complain(*folder.write_all(options.reproducer, kernels, found))

    each(lambda: report_json(options, lambda: documents.document(found), show), reproduce)
    return max((one.exit_status for one in found), key=_order)


def _check(folder: Path | None) -> None:
    """Raise ConfigError where no folder can be made in one that was asked for."""
    place = folder if folder is None or folder.exists() else folder.parent
    if place and (why := unwritable_folder(place)):
        raise ConfigError(f"Nothing can be written to {folder}: {why}.", "Check --reproducer.")


def _own(cases: list[Case]) -> list[Case]:
    """Return the cases on functions of our own; raises ConfigError where there is none."""
    own = [case for case in cases if not case.real]
    if not own:
        raise ConfigError(
            "No case that is chosen is on a function of the test modules.", "Choose other cases."
        )
    return own


def _order(status: Exit) -> int:
    return (Exit.AGREES, Exit.INFRASTRUCTURE, Exit.DIFFERS).index(status)
