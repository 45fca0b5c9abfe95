# SPDX-License-Identifier: GPL-2.0-only
"""Plays cases under today's probes, and judges what each read and left of each argument."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands import output
from harness.commands.options import (
    add_all,
    add_case_dir,
    add_cases,
    add_cc,
    add_kernel,
    kernel_options,
)
from harness.commands.output import Output, as_json, complain, each_then, unwritable_folder
from harness.commands.progress import bars
from harness.errors import ConfigError, Exit, HarnessError

if TYPE_CHECKING:
    from harness.tracing.run import Tracing

SUMMARY = "show what kprobe events, fprobes, func-args and BPF programs read of each argument"
EXAMPLE = "jprobe-harness tracers --kernel debian:7.2 --tracer fexit"


def _json(found: Sequence[Tracing]) -> bytes:
    from harness.report.tracers import documents

    return as_json(documents.document(found))


def _junit(found: Sequence[Tracing]) -> bytes:
    from harness.report.tracers import formats

    return formats.as_junit(found).encode()


def _ktap(found: Sequence[Tracing]) -> bytes:
    from harness.report.tracers import formats

    return formats.as_ktap(found).encode()


def _html(found: Sequence[Tracing]) -> bytes:
    from harness.report.tracers import html

    return html.document(found).encode()


OUTPUTS: Sequence[Output[Sequence[Tracing]]] = (
    Output("json", "all cells as JSON", _json),
    Output("junit", "JUnit XML", _junit),
    Output("ktap", "KTAP", _ktap),
    Output("html", "one HTML file with every cell", _html),
)


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
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME",
        help="put a jprobe under this variant beside the tracer; repeatable (default: no jprobe)",
    )
    parser.add_argument(
        "--witness",
        choices=["gdb"],
        help="have GDB see what the functions are called with, and compare",
    )
    parser.add_argument(
        "--reproducer",
        type=Path,
        metavar="DIR",
        help="write DIR/TRACER-CASE, a module and a program that show it without this one,"
        " for each BPF program that leaves an argument wrong",
    )
    add_all(parser)
    for one in OUTPUTS:
        one.add(parser)


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.kernel import spec
    from harness.report.tracers import tables
    from harness.reproducer import folder
    from harness.run import job
    from harness.run.result import ENDED, worst
    from harness.tracers.catalog import pairs, select
    from harness.tracing import run as tracing

    _check(options.reproducer)
    catalog = Catalog(options.case_dir)
    tracers = select(options.tracer)
    variants = catalog.select_variants(options.variant) if options.variant else []
    cases = catalog.select_cases(options.case)
    watched = options.witness is not None
    if variants or watched:
        cases = [case for case in cases if not case.real]
    # Raises ConfigError where nothing is left.
    pairs(tracers, cases)
    with bars():
        # What is wrong with any of them is said before the first boot.
        prepared = [
            job.prepare(name, catalog, options=kernel_options(options), traced=True)
            for name in spec.expand(options.kernel, catalog)
        ]
        tracing.check([kernel for kernel, _ in prepared], cases)
        found: list[Tracing] = []
        stopped: BaseException | None = None
        for kernel, modules in prepared:
            try:
                found.append(
                    tracing.run(kernel, modules, tracers, cases, variants, watched=watched)
                )
            except ENDED as error:
                found.append(error.result)
                if any(one.exit_status is Exit.DIFFERS for one in found):
                    error.exit_status = Exit.DIFFERS
                stopped = error
                break
            except HarnessError as error:
                if not found:
                    raise
                # What was found on other kernels is reported first.
                stopped = error
                break
    kernels = [kernel for kernel, _ in prepared[: len(found)]]

    def reproduce() -> None:
        if options.reproducer:
            complain(*folder.write_all(options.reproducer, kernels, found))

    def show(found: Sequence[Tracing]) -> None:
        tables.show(found, options.all)

    each_then(stopped, lambda: output.report(options, OUTPUTS, found, show), reproduce)
    # That a kernel has the function of no case is said, and no fault of it.
    return worst(one.exit_status for one in found if one.planned)


def _check(folder: Path | None) -> None:
    """Raise ConfigError where no folder can be made in one that was asked for."""
    place = folder if folder is None or folder.exists() else folder.parent
    if place and (why := unwritable_folder(place)):
        raise ConfigError(f"Nothing can be written to {folder}: {why}.", "Check --reproducer.")
