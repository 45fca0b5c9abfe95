# SPDX-License-Identifier: GPL-2.0-only
"""Lists the runs whose logs are kept."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import add_json
from harness.commands.output import report_json
from harness.errors import Exit

if TYPE_CHECKING:
    from harness.run.logs import About

SUMMARY = "list the last runs, and keep one"
EXAMPLE = "jprobe-harness runs --keep last"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="RUN",
        help="never remove this run's logs: its name, a part of it, or 'last'; repeatable",
    )
    add_json(parser, "the runs")


def run(options: argparse.Namespace) -> int:
    from harness.report import terminal
    from harness.run import logs

    for name in options.keep:
        folder, _ = logs.find(name)
        logs.keep(folder)
    found = list(logs.runs())
    rows = [{"name": f.name, "folder": str(f), "kept": logs.is_kept(f), "about": a}
            for f, a in found]  # fmt: skip
    report_json(
        options,
        lambda: {"schema": 1, "runs": rows},
        lambda: terminal.print_rows(
            "the last runs, the newest first",
            ("run", "kernel", "as predicted", "took", "kept", "command"),
            [_row(folder, about) for folder, about in found],
        ),
    )
    return Exit.AGREES


def _row(folder: Path, about: About) -> tuple[str, ...]:
    from harness.run import logs

    if about.ended is not None:
        took = f"{about.ended - about.started:.1f} s"
    elif logs.is_running(folder, about):
        took = f"for {time.time() - about.started:.0f} s"
    else:
        took = "was killed"
    judged = f"{about.agree} of {about.planned}" if about.planned else ""
    kept = "yes" if logs.is_kept(folder) else "by a nightly run" if logs.is_held(folder) else ""
    return folder.name, about.kernel, judged, took, kept, shlex.join(about.command)
