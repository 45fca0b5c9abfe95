# SPDX-License-Identifier: GPL-2.0-only
"""Shows where compilers keep FP and by-reference copies."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.options import add_json, add_kernel, add_selection, resolve
from harness.commands.output import report_json
from harness.commands.progress import bars
from harness.errors import Exit
from harness.steps import progress

if TYPE_CHECKING:
    from harness.run.result import Result


SUMMARY = "show where compilers keep FP and by-reference copies, side by side"
EXAMPLE = "jprobe-harness layout --cc gcc --cc clang --case 'by-ref-*'"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser)
    parser.add_argument(
        "--cc",
        action="append",
        default=[],
        metavar="COMPILER",
        help="gcc, clang, one with a version; repeatable (default: gcc and clang)",
    )
    add_selection(parser)
    add_json(parser, "the facts")


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.modules import build as modules
    from harness.report import layout_report
    from harness.run.plan import plays
    from harness.run.repro import run
    from harness.toolchain.compiler import named

    catalog = Catalog(options.case_dir)
    # The frames of the kernel's own callers are of the kernel's compiler.
    chosen = [case for case in catalog.select_cases(options.case) if not case.real]
    plan = plays(catalog.select_variants(options.variant), chosen)
    cases = list(catalog.cases.values())
    compilers = {name: named(name) for name in options.cc or ("gcc", "clang")}
    results: dict[str, Result] = {}
    with bars():
        kernel = resolve(options, catalog, list(compilers.values()))
        for name, compiler in compilers.items():
            progress("compilers", len(results), len(compilers))
            built = modules.build(kernel, cases, compiler=compiler)
            results[name] = run(kernel, built, plan)
    report_json(
        options,
        lambda: layout_report.document(results),
        lambda: layout_report.print_layouts(results),
    )
    statuses = [result.exit_status for result in results.values()]
    return Exit.DIFFERS if Exit.DIFFERS in statuses else max(statuses)
