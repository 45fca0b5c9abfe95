# SPDX-License-Identifier: GPL-2.0-only
"""Prints the manual page."""

from __future__ import annotations

import argparse

from harness import __version__
from harness.errors import Exit

SUMMARY = "print the manual page"
EXAMPLE = "jprobe-harness man | man -l -"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no options."""


def run(options: argparse.Namespace) -> int:
    from argparse_manpage.manpage import Manpage  # type: ignore[import-untyped]

    data = {
        "project_name": "jprobe-harness",
        "prog": "jprobe-harness",
        "version": __version__,
        "description": "measures which arguments a jprobe's stack policy leaves corrupt",
    }
    print(Manpage(options.parser(), data, format="pretty"))
    return Exit.AGREES
