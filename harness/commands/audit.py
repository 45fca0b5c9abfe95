# SPDX-License-Identifier: GPL-2.0-only
"""Shows which functions of kernels each tracer misreads, refuses or changes, by rule."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from harness.commands.options import add_cc, add_json, add_kernel, kernel_files
from harness.commands.output import report_json
from harness.commands.progress import bars
from harness.errors import ConfigError, Exit, nearest

if TYPE_CHECKING:
    from harness.measure.audit import Audit

SUMMARY = "show which functions of kernels tracers misread, refuse or change"
EXAMPLE = "jprobe-harness audit --kernel debian:6.12 --kernel debian:7.2"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser, several=True, boots=False)
    add_cc(parser)
    parser.add_argument(
        "--tracer",
        action="append",
        default=[],
        metavar="NAME",
        help="a tracer, such as kprobe or fexit, or a pattern of names; repeatable (default: all"
        " that a kernel has)",
    )
    parser.add_argument(
        "--function", metavar="NAME", help="show what becomes of each argument of a function"
    )
    parser.add_argument(
        "--all", action="store_true", help="print each function, in place of the first of a kind"
    )
    add_json(parser, "the audits")


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.kernel import spec
    from harness.measure import audit
    from harness.prototypes import source
    from harness.report.audit import documents, tables
    from harness.tracers import catalog as tracers_catalog

    catalog = Catalog()
    tracers = tracers_catalog.select(options.tracer)
    audits: list[Audit] = []
    with bars():
        for name in spec.expand(options.kernel, catalog):
            prototypes = source.read(kernel_files(name, options, catalog))
            audits.append(audit.audit(prototypes, _release(prototypes.release), tracers))
    if options.function:
        _check_known(options.function, audits)

    def show() -> None:
        if options.function:
            tables.print_function(audits, options.function, tracers)
        else:
            tables.print_audits(audits, options.all)

    report_json(options, lambda: documents.document(audits, options.function), show)
    return Exit.AGREES


def _release(text: str) -> tuple[int, int]:
    """Return a release's version; raises ConfigError where nothing says it."""
    match = re.match(r"(\d+)\.(\d+)", text)
    if not match:
        raise ConfigError(
            f"Nothing says of which release the kernel is: '{text}'.",
            "Give its Image, which has its version.",
        )
    return int(match[1]), int(match[2])


def _check_known(name: str, audits: list[Audit]) -> None:
    from harness.prototypes import code

    known = {one.name for audit in audits for one in audit.functions}
    if name not in known:
        raise ConfigError(
            f"No kernel here has a prototype of '{name}'.{nearest(name, known)}",
            code.absence(name, audits[-1].symbols),
        )
