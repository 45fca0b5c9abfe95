# SPDX-License-Identifier: GPL-2.0-only
"""Says what a variant does to a case, without a guest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.catalog import Catalog
from harness.commands.options import add_json, add_selection
from harness.commands.output import as_json, write
from harness.errors import ConfigError, Exit

if TYPE_CHECKING:
    from harness.run.nominal import Frame

SUMMARY = "say what a variant does to a case, without a guest"
EXAMPLE = "jprobe-harness predict --variant fixed-128 --case stack-25"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    add_json(parser, "the predictions")
    parser.add_argument(
        "--svg", metavar="FILE", help="draw the stack of one case under the variants"
    )
    parser.add_argument(
        "--frame",
        choices=("record-below", "record-above"),
        default="record-below",
        help="where the caller's compiler keeps the frame record, below its locals (gcc 12)"
        " or above them (gcc 16)",
    )


def run(options: argparse.Namespace) -> int:
    from harness.report import terminal, words
    from harness.run.nominal import Frame, nominal

    catalog = Catalog(options.case_dir)
    frame = Frame(options.frame)
    if options.svg:
        return _draw(options, catalog, frame)
    rows = []
    for case in catalog.select_cases(options.case):
        for variant in catalog.select_variants(options.variant):
            prediction = nominal(case, variant.policy, frame)
            rows.append(words.prediction_row(case, variant, prediction))
    if options.json:
        write(options.json, as_json({"schema": 1, "frame": frame.value, "predictions": rows}))
    if options.json != "-":
        terminal.print_rows(
            f"predicted with the frame record {frame.value.removeprefix('record-')} the locals",
            ("case", "variant", "class", "corrupt bytes"),
            [(r["case"], r["variant"], terminal.classes(r["class"]), r["text"]) for r in rows],
        )
    return Exit.AGREES


def _draw(options: argparse.Namespace, catalog: Catalog, frame: Frame) -> int:
    from harness.report.stack_picture import svg
    from harness.run.nominal import lay_out

    cases = catalog.select_cases(options.case)
    if len(cases) != 1:
        raise ConfigError(f"A picture is of one case, and these are {len(cases)}.", "Give --case.")
    (case,) = cases
    picture = svg(case, catalog.select_variants(options.variant), *lay_out(case, frame))
    write(options.svg, picture.encode())
    return Exit.AGREES
