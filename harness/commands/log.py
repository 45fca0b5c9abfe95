# SPDX-License-Identifier: GPL-2.0-only
"""Shows what a run was and what its guest said."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness import printable
from harness.commands.options import add_json
from harness.commands.output import report_json
from harness.errors import ConfigError, Exit

if TYPE_CHECKING:
    from harness.run.logs import About

SUMMARY = "show what a run was, and what its guest said"
EXAMPLE = "jprobe-harness log last"

# The file names of each part, as a glob pattern.
PARTS = {
    "console": "console-*.log",
    "records": "records-*[0-9]",
    "plan": "plan-*",
    "qemu": "qemu-*.sh",
    "gdb": "gdb-*.log",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        nargs="?",
        default="last",
        metavar="RUN",
        help="a run's name, a part of it, or 'last' (default)",
    )
    parser.add_argument(
        "--part",
        choices=tuple(PARTS),
        help="only this part of it, of all boots; unchanged except on a terminal, but for the"
        " records, which are shown as text",
    )
    add_json(parser, "what the run was")


def run(options: argparse.Namespace) -> int:
    from harness.run import logs

    folder, about = logs.find(options.name)
    report_json(
        options,
        lambda: {"schema": 1, "name": folder.name, "folder": folder, "about": about},
        lambda: _print_part(folder, options.part) if options.part else _print(folder, about),
    )
    return Exit.AGREES


def _print_part(folder: Path, part: str) -> None:
    files = sorted(folder.glob(PARTS[part]))
    if not files:
        raise ConfigError(f"The run {folder.name} has no {part}.", f"See: {folder}")
    give = _show if sys.stdout.isatty() else _copy
    if part == "records":
        give = _show_records
    for file in files:
        give(file)


def _print(folder: Path, about: About) -> None:
    _print_about(folder, about)
    for file in sorted(folder.glob(PARTS["console"])):
        print(f"\n{file.name}")
        _show(file)


def _show(file: Path) -> None:
    """Print text without the escapes that a terminal would obey."""
    with file.open(encoding="utf-8", errors="replace", newline="\n") as stream:
        for line in stream:
            print(printable.shown(line), end="")


def _show_records(file: Path) -> None:
    from harness.report.formats.record_text import as_text

    for line in as_text(file.read_bytes()):
        print(line)


def _copy(file: Path) -> None:
    sys.stdout.flush()
    with file.open("rb") as stream:
        shutil.copyfileobj(stream, sys.stdout.buffer)


def _print_about(folder: Path, about: About) -> None:
    from harness.report import terminal

    rows = [
        ("command", shlex.join(about.command)),
        ("kernel", f"{about.kernel}: {about.release}, package or tree {about.version}"),
        ("engine", about.engine),
        ("modules", f"{about.modules_key}, by {about.compiler}"),
        ("emulator", about.qemu),
        ("harness", about.harness),
        ("others", ", ".join(f"{name}: {text}" for name, text in about.versions.items()) or "-"),
        ("boots", str(about.boots)),
        ("as predicted", f"{about.agree} of {about.planned}" if about.planned else "-"),
        ("files", ", ".join(sorted(path.name for path in folder.iterdir()))),
        ("in", str(folder)),
    ]
    terminal.print_rows(folder.name, ("", ""), rows)
