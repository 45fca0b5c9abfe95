# SPDX-License-Identifier: GPL-2.0-only
"""Predicts what a variant does to a case, without a guest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.options import add_json, add_selection
from harness.commands.output import Target, report_json, write
from harness.errors import ConfigError, Exit

if TYPE_CHECKING:
    from harness.model.assumed import RecordPosition
    from harness.model.case import Case
    from harness.model.policy import Variant

SUMMARY = "predict what a variant does to a case, without a guest"
EXAMPLE = "jprobe-harness predict --variant fixed-128 --case stack-25"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    add_json(parser, "the predictions")
    parser.add_argument(
        "--svg", type=Target, metavar="FILE", help="draw the stack of one case under the variants"
    )
    parser.add_argument(
        "--frame",
        choices=("record-below", "record-above"),
        default="record-below",
        help="where the caller's compiler keeps the frame record, below its locals (gcc 12)"
        " or above them (gcc 16)",
    )


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.model.assumed import RecordPosition, predict_assumed
    from harness.model.policy import Rule
    from harness.report import summaries, terminal

    catalog = Catalog(options.case_dir)
    cases = catalog.select_cases(options.case)
    variants = catalog.select_variants(options.variant)
    frame = RecordPosition(options.frame)
    for variant in variants:
        if variant.expected.rule is Rule.KERNEL:
            raise ConfigError(
                f"'{variant.name}' cannot be predicted: what a tree's jprobes do is known only from"
                " the tree.",
                "Play it: jprobe-harness repro --kernel TREE",
            )
    if options.svg:
        _draw(options.svg, cases, variants, frame)
        if options.json is None:
            return Exit.AGREES
    rows = [
        summaries.prediction_row(case, variant, predict_assumed(case, variant.expected, frame))
        for case in cases
        for variant in variants
    ]
    document = {"schema": 1, "frame": frame.value, "softirq_stack": "interrupt"}
    report_json(
        options,
        lambda: {**document, "predictions": rows},
        lambda: terminal.print_rows(
            f"predicted with the frame record {frame.value.removeprefix('record-')} the locals,"
            " and softirqs on the interrupt stack (6.1 and later)",
            ("case", "variant", "class", "corrupt bytes"),
            [(r["case"], r["variant"], terminal.classes(r["class"]), r["text"]) for r in rows],
        ),
    )
    return Exit.AGREES


def _draw(file: str, cases: list[Case], variants: list[Variant], frame: RecordPosition) -> None:
    from harness.model.assumed import lay_out
    from harness.report.stack_picture import svg

    if len(cases) != 1:
        raise ConfigError(
            f"A picture is of one case, and {len(cases)} are selected.", "Give --case."
        )
    (case,) = cases
    write(file, svg(case, variants, *lay_out(case, frame)).encode())
