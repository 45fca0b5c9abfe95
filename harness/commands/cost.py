# SPDX-License-Identifier: GPL-2.0-only
"""Measures what a hit costs under each policy."""

from __future__ import annotations

import argparse

from harness.commands.options import add_cc, add_json, add_kernel, add_variants, prepare
from harness.commands.output import each_then, report_json
from harness.commands.progress import bars

SUMMARY = "count the instructions that a jprobe's hit costs under each stack policy"
EXAMPLE = "jprobe-harness cost --variant none --variant fixed-128 --variant thread-size"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser)
    add_cc(parser)
    add_variants(parser)
    add_json(parser, "the costs")


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.measure import cost
    from harness.report import cost_report
    from harness.run.result import ENDED

    catalog = Catalog()
    variants = catalog.select_variants(options.variant)
    with bars():
        kernel, modules = prepare(options, catalog)
        ended: BaseException | None = None
        try:
            result = cost.run(kernel, modules, variants)
        except ENDED as error:
            result, ended = error.result, error
    each_then(
        ended,
        lambda: report_json(
            options, lambda: cost_report.document(result), lambda: cost_report.print_costs(result)
        ),
    )
    return result.exit_status
