# SPDX-License-Identifier: GPL-2.0-only
"""Measures whole commands against a bare boot."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cases.catalog import Catalog
from harness.commands.options import add_json, add_kernel, count, prepare
from harness.commands.output import Target, each, report_json, write
from harness.commands.progress import bars
from harness.errors import ConfigError, Exit, nearest
from harness.host import home, temporary
from harness.measure.bench.rows import GROWTH, GROWTH_LEAST, ROWS, Row

if TYPE_CHECKING:
    from harness.measure.bench.growth import Growth
    from harness.measure.bench.works import Place
    from harness.report.bench.tables import Report

SUMMARY = "measure whole commands against a bare boot of the same kernel"
EXAMPLE = "jprobe-harness bench --runs 10 --json bench.json"
# The options that name a kernel, which the timed commands get as well.
_PASSED = (
    "kernel", "modules_build", "kconfig", "make", "defconfig", "memory", "boot_deadline",
)  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser)
    parser.add_argument(
        "--runs", type=int, default=7, metavar="N", help="rounds that are measured (default: 7)"
    )
    parser.add_argument(
        "--row",
        action="append",
        default=[],
        metavar="NAME",
        help=f"one of {', '.join(row.name for row in ROWS)}; repeatable (default: all)",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="in the same rounds, time other programs that boot kernels and are installed",
    )
    parser.add_argument(
        "--peer-root",
        type=Path,
        metavar="DIR",
        help="an arm64 root file system, for a peer that needs one",
    )
    parser.add_argument(
        "--growth",
        type=Target,
        metavar="FILE",
        help="only draw how a run's time grows with the number of its verdicts, as an SVG",
    )
    parser.add_argument(
        "--growth-max",
        type=count,
        default=GROWTH,
        metavar="N",
        help=f"the most verdicts of one run for --growth (default: {GROWTH})",
    )
    add_json(parser, "what was measured")


def run(options: argparse.Namespace) -> int:
    from harness.measure.bench import works
    from harness.report.bench import growth_picture, tables

    rows = _check(options)
    with ExitStack() as resources:
        resources.enter_context(bars())
        catalog = Catalog()
        kernel, modules = prepare(options, catalog)
        rows = works.playable(rows, kernel, catalog, named=bool(options.row))
        place = works.place(kernel, modules, list(_passed(options)))
        resources.enter_context(works.own_logs())
        growth = _growth(place, options.growth_max) if options.growth else None
        report = tables.Report(kernel, growth=growth) if growth else _measure(options, place, rows)
    steps = []
    if growth:
        picture = growth_picture.svg(growth, kernel.release)
        steps.append(functools.partial(write, options.growth, picture.encode()))
    each(
        *steps,
        lambda: report_json(
            options, lambda: tables.document(report), lambda: tables.print_report(report)
        ),
    )
    return Exit.AGREES


def _check(options: argparse.Namespace) -> list[Row]:
    """Return the rows that are to be measured; raise ConfigError."""
    if options.runs < 1:
        raise ConfigError("--runs: give at least 1.")
    if options.growth_max < GROWTH_LEAST:
        raise ConfigError(f"--growth-max: give at least {GROWTH_LEAST}.")
    if options.growth and (options.row or options.peers):
        raise ConfigError("--growth is measured by itself.", "Leave out --row and --peers.")
    if options.cold:
        raise ConfigError("--cold: the rows say which of them are.", "See: --row repro-cold")
    rows = {row.name: row for row in ROWS}
    for name in options.row:
        if name not in rows:
            raise ConfigError(f"There is no row '{name}'.{nearest(name, rows)}")
    return [row for row in ROWS if not options.row or row.name in options.row]


def _passed(options: argparse.Namespace) -> Iterator[str]:
    """Yield the words by which the timed commands choose the same kernel."""
    for name in _PASSED:
        given = getattr(options, name)
        for value in given if isinstance(given, list) else [given]:
            if value not in (None, ""):
                yield f"--{name.replace('_', '-')}={value}"


def _measure(options: argparse.Namespace, place: Place, rows: Sequence[Row]) -> Report:
    from harness.measure.bench import peers, rounds, works
    from harness.report.bench.tables import Report

    takers = works.needed(rows, place)
    if not options.peers:
        return Report(place.kernel, rounds.measure(rows, takers, options.runs))
    root = options.peer_root and home.resolved(options.peer_root)
    with temporary.folder() as folder:
        calls = peers.calls(peers.Ground(place.kernel, folder, root))
        measurement = rounds.measure(rows, takers, options.runs, peers.takers(calls))
    return Report(place.kernel, measurement, peers.measured(calls, measurement.rounds))


def _growth(place: Place, most: int) -> Growth:
    from harness.measure.bench import command, growth, works
    from harness.measure.bench.rows import Work

    def fuzz(verdicts: int) -> command.Timed:
        return command.run(works.words(Work("growth", ("fuzz", "--count", str(verdicts))), place))

    return growth.measure(fuzz, most)
