# SPDX-License-Identifier: GPL-2.0-only
"""Shows where the arguments of a kernel's own functions lie."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.commands.options import add_cc, add_kernel, add_variants, kernel_files
from harness.commands.output import Output, report
from harness.commands.progress import bars
from harness.errors import ConfigError, Exit, nearest

if TYPE_CHECKING:
    from harness.cases.catalog import Catalog
    from harness.measure.survey import Survey
    from harness.model.policy import Variant

SUMMARY = "show which functions of kernels take arguments on the stack or by reference"
EXAMPLE = "jprobe-harness survey --kernel debian:5.10 --kernel debian:7.2"
_FORMATS = {"json": "the surveys as JSON", "csv": "each function as a row of CSV"}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser, several=True, boots=False)
    add_cc(parser)
    add_variants(parser)
    parser.add_argument(
        "--function", metavar="NAME", help="show where each argument of a function lies"
    )
    parser.add_argument(
        "--all", action="store_true", help="print each function, in place of the first of a kind"
    )
    for name, shows in _FORMATS.items():
        Output(name, shows, lambda _: b"").add(parser)


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.commands.output import as_json
    from harness.kernel import spec
    from harness.model.policy import Rule
    from harness.report.survey import documents, tables

    catalog = Catalog()
    variants = catalog.select_variants(options.variant)
    for variant in variants:
        if variant.expected.rule is Rule.KERNEL:
            raise ConfigError(
                f"'{variant.name}' cannot be predicted: what a tree's jprobes do is known only from"
                " the tree.",
                "Play it: jprobe-harness repro --kernel TREE",
            )
    with bars():
        surveys = [
            _survey(name, options, catalog, variants)
            for name in spec.expand(options.kernel, catalog)
        ]
    if options.function:
        _check_known(options.function, surveys)
    outputs: Sequence[Output[list[Survey]]] = (
        Output("json", "", lambda found: as_json(documents.document(found, options.function))),
        Output("csv", "", documents.as_csv),
    )

    def show(found: list[Survey]) -> None:
        if options.function:
            tables.print_function(found, options.function)
        else:
            tables.print_surveys(found, options.all)

    report(options, outputs, surveys, show)
    return Exit.AGREES


def _survey(
    name: str, options: argparse.Namespace, catalog: Catalog, variants: Sequence[Variant]
) -> Survey:
    from harness.measure import survey

    return survey.read(kernel_files(name, options, catalog), variants)


def _check_known(name: str, surveys: Sequence[Survey]) -> None:
    """Raise ConfigError where no kernel has a prototype of a function."""
    if not any(one.named(name) for one in surveys):
        known = {one.name for survey in surveys for one in survey.functions}
        raise ConfigError(
            f"No kernel here has a prototype of '{name}'.{nearest(name, known)}",
            "A function that is written in assembly, or was inlined everywhere, has none in BTF.",
        )
