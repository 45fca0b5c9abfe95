# SPDX-License-Identifier: GPL-2.0-only
"""What a run is written as: tables on the terminal, JSON, JUnit XML and KTAP."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands import output
from harness.commands.output import Output, as_json

if TYPE_CHECKING:
    from harness.run.result import Comparison, Result


def show(result: Result | Comparison, everything: bool) -> None:
    """Print the result; with `everything`, each difference by itself."""
    from harness.report import terminal
    from harness.run.result import Comparison

    if isinstance(result, Comparison):
        from harness.report import kernels_report

        kernels_report.print_comparison(result, everything)
        return
    terminal.print_result(result, everything)
    if len(result.outcomes) == 1:
        terminal.print_dump(result.outcomes[0])


def _as_json(result: Result | Comparison) -> bytes:
    from harness.report import kernels_report
    from harness.report.formats import json_report
    from harness.run.result import Comparison

    if isinstance(result, Comparison):
        return as_json(kernels_report.as_json(result))
    return as_json(json_report.document(result))


def _as_junit(result: Result | Comparison) -> bytes:
    from harness.report import kernels_report
    from harness.report.formats import junit
    from harness.run.result import Comparison

    if isinstance(result, Comparison):
        return kernels_report.as_junit(result).encode()
    return junit.document(result).encode()


def _as_ktap(result: Result | Comparison) -> bytes:
    from harness.report import kernels_report
    from harness.report.formats import ktap
    from harness.run.result import Comparison

    if isinstance(result, Comparison):
        return kernels_report.as_ktap(result).encode()
    return ktap.document(result).encode()


def _patch_as_json(comparison: Comparison) -> bytes:
    from harness.report import patch_report

    return as_json(patch_report.as_json(comparison))


_FURTHER: tuple[Output[Any], ...] = (
    Output("junit", "JUnit XML", _as_junit),
    Output("ktap", "KTAP", _as_ktap),
)
OUTPUTS: tuple[Output[Any], ...] = (Output("json", "the verdicts as JSON", _as_json), *_FURTHER)
PATCH_OUTPUTS: tuple[Output[Any], ...] = (
    Output("json", "the verdicts as JSON", _patch_as_json),
    *_FURTHER,
)


def report(
    options: argparse.Namespace,
    result: Result | Comparison,
    print_: Callable[[Any, bool], None] = show,
    outputs: Sequence[Output[Any]] = OUTPUTS,
) -> None:
    """Report the result everywhere; what cannot be written does not stop the rest."""
    output.each(
        lambda: _keep(result) if options.keep else None,
        lambda: output.report(options, outputs, result, lambda result: print_(result, options.all)),
    )


def _keep(result: Result | Comparison) -> None:
    from harness.run import logs
    from harness.run.result import Comparison

    for one in result.results if isinstance(result, Comparison) else (result,):
        for folder in one.logs.split(", "):
            logs.keep(Path(folder))
