# SPDX-License-Identifier: GPL-2.0-only
"""Reads a dump that a run left."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from harness.commands.options import add_case_dir, add_json
from harness.commands.output import report_json
from harness.errors import Exit
from harness.host import stopping

if TYPE_CHECKING:
    from harness.cases.catalog import Catalog
    from harness.inspect.crash import Cpu, Crash

SUMMARY = "read the dump that repro --dump left: the jprobes' state, and damaged arguments"
EXAMPLE = "jprobe-harness dump last --drgn"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        nargs="?",
        default="last",
        metavar="RUN",
        help="a run's name, a part of it, or 'last' (default)",
    )
    parser.add_argument(
        "--drgn", action="store_true", help="open drgn's prompt on it, with the modules loaded"
    )
    add_case_dir(parser)
    add_json(parser, "what it shows")


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.inspect import crash
    from harness.run import logs

    folder, _ = logs.find(options.name)
    boot = crash.find(folder)
    if options.drgn:
        from drgn.cli import run_interactive

        # drgn handles Ctrl-C itself: it abandons the line.
        stopping.leave_to_others()
        run_interactive(crash.opened(folder, boot))
        return Exit.AGREES
    found = crash.read(folder, boot)
    catalog = Catalog(options.case_dir)
    rows = [_row(catalog, found, cpu) for cpu in found.cpus]
    report_json(
        options,
        lambda: {"schema": 1, "case": found.case, "cpus": rows},
        lambda: _print(found, rows),
    )
    return Exit.AGREES


def _row(catalog: Catalog, found: Crash, cpu: Cpu) -> dict[str, Any]:
    from harness.inspect.crash import damage

    case = catalog.cases.get(found.case)
    damaged = damage(case, cpu) if case and cpu.stack else []
    return {
        "cpu": cpu.number,
        "phase": cpu.phase,
        "policy": f"{cpu.policy.rule.value} {cpu.policy.size}" if cpu.policy else None,
        "saved": cpu.saved,
        "sp": cpu.sp,
        "pc": cpu.pc,
        "damaged": [
            {
                "argument": index,
                "type": case.arguments[index].type.spelling if case else "",
                "bytes": spans,
            }
            for index, spans in damaged
        ],
    }


def _print(found: Crash, rows: list[dict[str, Any]]) -> None:
    from harness.report import terminal

    terminal.print_rows(
        f"{found.case or 'no case was played'}: the jprobes as the kernel left them",
        ("CPU", "phase", "saved", "from SP"),
        [_words(row) for row in rows],
    )
    for row in rows:
        for one in row["damaged"]:
            spans = ", ".join(f"{start} to {end - 1}" for start, end in one["bytes"])
            terminal.say(
                f"CPU {row['cpu']}: argument {one['argument']} ({one['type']}) is not as it was"
                f" passed: byte {spans}"
            )


def _words(row: dict[str, Any]) -> tuple[str, ...]:
    saved = f"{row['saved']} bytes, by {row['policy']}" if row["policy"] else ""
    return str(row["cpu"]), row["phase"], saved, f"{row['sp']:#x}" if saved else ""
