# SPDX-License-Identifier: GPL-2.0-only
"""Measures the whole job against a bare boot."""

from __future__ import annotations

import argparse

from harness.commands.options import add_json, add_kernel, kernel_options
from harness.commands.output import report_json
from harness.commands.progress import bars
from harness.errors import ConfigError, Exit

SUMMARY = "measure the whole job against a bare boot of the same kernel"
EXAMPLE = "jprobe-harness bench --runs 10 --json bench.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser)
    parser.add_argument(
        "--runs", type=int, default=5, metavar="N", help="pairs of runs (default: 5)"
    )
    add_json(parser, "the rows")


def run(options: argparse.Namespace) -> int:
    from harness.measure import bench as measurement
    from harness.report import terminal

    if options.runs < 1:
        raise ConfigError("--runs: give at least 1.")
    with bars():
        rows = measurement.measure(
            options.kernel,
            options.runs,
            options=kernel_options(options),
        )
    report_json(
        options,
        lambda: {"schema": 1, "runs": options.runs, "rows": rows},
        lambda: terminal.print_rows(
            f"median of {options.runs} paired runs",
            ("name", "seconds", "ratio to bare", "peak MiB"),
            [
                (
                    row.name,
                    f"{row.seconds:.2f}",
                    f"{row.ratio_to_bare:.2f}",
                    "-" if row.peak_mib is None else f"{row.peak_mib:.0f}",
                )
                for row in rows
            ],
        ),
    )
    return Exit.AGREES
