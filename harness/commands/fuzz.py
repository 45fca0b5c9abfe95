# SPDX-License-Identifier: GPL-2.0-only
"""Plays random signatures."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

from harness.commands.options import (
    add_all,
    add_cc,
    add_jobs,
    add_json,
    add_kernel,
    add_variants,
    count,
    jobs,
    resolve,
)
from harness.commands.output import each_then, report_json, unwritable_folder, write
from harness.commands.progress import bars
from harness.errors import ConfigError

SUMMARY = "play random signatures, each under one of the variants, and judge every byte"
EXAMPLE = "jprobe-harness fuzz --seed 7 --count 20000 --variant fixed-128"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser)
    add_cc(parser)
    add_variants(parser)
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="S",
        help="seed of the random signatures (default: 1)",
    )
    parser.add_argument(
        "--count", type=count, default=2000, metavar="N", help="signatures (default: 2000)"
    )
    parser.add_argument(
        "--compiled",
        type=int,
        metavar="N",
        help="how many signatures are compiled, the others being played as data (default: 50)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where to write the case file of a failure (default: the current directory)",
    )
    add_jobs(parser)
    add_all(parser)
    add_json(parser, "the result")


def run(options: argparse.Namespace) -> int:
    from harness.cases import writer
    from harness.cases.catalog import Catalog
    from harness.measure import fuzz as fuzzing
    from harness.modules import build as modules
    from harness.report import fuzz_report
    from harness.run import players
    from harness.run.result import ENDED
    from harness.toolchain.compiler import named

    catalog = Catalog()
    compiler = named(options.cc)
    build = functools.partial(modules.build, compiler=compiler)
    variants = catalog.select_variants(options.variant)
    if why := unwritable_folder(options.out):
        raise ConfigError(f"No case can be written to {options.out}: {why}.", "Check --out.")
    with bars(), players.playing(jobs(options)):
        kernel = resolve(options, catalog, [compiler])
        compiled = fuzzing.COMPILED if options.compiled is None else options.compiled
        ended: BaseException | None = None
        shrunk = None
        try:
            campaign = fuzzing.run(
                kernel,
                options.seed,
                options.count,
                variants,
                compiled=compiled,
                build=build,
            )
        except ENDED as error:
            campaign, ended = error.result, error
        if campaign.failures and not ended:
            try:
                shrunk = fuzzing.shrink(
                    kernel,
                    campaign.failures[0],
                    build=build,
                )
            except Exception as error:
                # The failure itself is reported all the same.
                ended = error
    command = ""
    steps: list[Callable[[], None]] = []
    if shrunk:
        play = shrunk.play
        path = str(options.out / f"{play.case.name}.yaml")
        steps.append(functools.partial(write, path, writer.text(play.case).encode()))
        command = (
            f"jprobe-harness repro --kernel {options.kernel} --cc {options.cc}"
            f" --case-dir {options.out} --case {play.case.name} --variant {play.variant.name}"
        )
    each_then(
        ended,
        *steps,
        lambda: report_json(
            options,
            lambda: fuzz_report.document(campaign),
            lambda: fuzz_report.print_campaign(campaign, shrunk, command, options.all),
        ),
    )
    return campaign.exit_status
