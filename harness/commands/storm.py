# SPDX-License-Identifier: GPL-2.0-only
"""Makes all CPUs hit one jprobe at once."""

from __future__ import annotations

import argparse

from harness.commands.options import add_cc, add_json, add_kernel, add_variants, prepare, seconds
from harness.commands.output import each_then, report_json
from harness.commands.progress import bars

# The most that QEMU's virt machine has with its default interrupt controller.
CPUS_MAX = 8

SUMMARY = "make all CPUs hit one jprobe at once, and account for every hit"
EXAMPLE = "jprobe-harness storm --seconds 10 --cpus 4 --variant fixed-128"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser)
    add_cc(parser)
    add_variants(parser)
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=10,
        metavar="S",
        help="time for each variant (default: 10)",
    )
    parser.add_argument(
        "--cpus",
        type=int,
        choices=range(2, CPUS_MAX + 1),
        default=4,
        metavar="N",
        help=f"how many CPUs the guest has, 2 to {CPUS_MAX} (default: 4)",
    )
    add_json(parser, "the counts")


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.measure import storm as storms
    from harness.report import storm_report
    from harness.run.result import ENDED

    catalog = Catalog()
    variants = catalog.select_variants(options.variant)
    with bars():
        kernel, modules = prepare(options, catalog)
        ended: BaseException | None = None
        try:
            result = storms.run(
                kernel,
                modules,
                variants,
                cpus=options.cpus,
                seconds=options.seconds,
            )
        except ENDED as error:
            result, ended = error.result, error
    each_then(
        ended,
        lambda: report_json(
            options,
            lambda: storm_report.document(result),
            lambda: storm_report.print_storms(result),
        ),
    )
    return result.exit_status
