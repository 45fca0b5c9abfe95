# SPDX-License-Identifier: GPL-2.0-only
"""Looks for the system programs that are needed."""

from __future__ import annotations

import argparse

from harness.commands.options import add_json
from harness.commands.output import report_json
from harness.errors import Exit
from harness.host import doctor as examination

SUMMARY = "check the system programs that are needed"
EXAMPLE = "jprobe-harness doctor --install"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--install", action="store_true", help="install what is missing (as root or with sudo)"
    )
    parser.add_argument(
        "--extra",
        action="store_true",
        help="also check what only some jobs need: source trees, a second compiler, newer kernels",
    )
    parser.add_argument(
        "--tests", action="store_true", help="also check what only the project's own tests need"
    )
    add_json(parser, "the findings")


def run(options: argparse.Namespace) -> int:
    from harness.report import terminal

    programs: tuple[examination.Program, ...] = examination.PROGRAMS
    programs += examination.EXTRA_PROGRAMS if options.extra else ()
    programs += examination.TEST_PROGRAMS if options.tests else ()
    findings = examination.examine(programs)
    missing = examination.missing_packages(findings)
    if missing and options.install:
        examination.install(missing)
        findings = examination.examine(programs)
        missing = examination.missing_packages(findings)
    rows = [
        {
            "program": f.program.name,
            "version": f.version,
            "flaw": f.flaw or None,
            "package": f.program.package,
            "purpose": f.program.purpose,
        }
        for f in findings
    ]

    def show() -> None:
        terminal.print_rows(
            "system programs",
            ("program", "version", "what it is for"),
            [(f.program.name, _state(f), f.program.purpose) for f in findings],
        )
        if missing:
            command = examination.install_command(missing)
            print(f"\nInstall what is missing or too old with: {' '.join(command)}")

    report_json(options, lambda: {"programs": rows, "missing_packages": missing}, show)
    return Exit.INFRASTRUCTURE if missing else Exit.AGREES


def _state(finding: examination.Finding) -> str:
    if finding.flaw:
        return f"{finding.version}: {finding.flaw}"
    return finding.version or "missing"
