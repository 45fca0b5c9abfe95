# SPDX-License-Identifier: GPL-2.0-only
"""Prints a completion script for a shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.errors import Exit

SUMMARY = "print a script with which your shell completes this command"
EXAMPLE = (
    "jprobe-harness completion bash >~/.local/share/bash-completion/completions/jprobe-harness"
)

SHELLS = ("bash", "zsh", "fish")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def run(options: argparse.Namespace) -> int:
    import shtab

    from harness.cases.catalog import Catalog
    from harness.tracers.catalog import tracers

    catalog = Catalog()
    names: dict[str, Iterable[str]] = {
        "kernel": catalog.kernels,
        "variant": catalog.variants,
        "case": catalog.cases,
        "tracer": tracers(),
    }
    parser = options.parser()
    for action in _actions(parser):
        _describe(action, names)
    print(shtab.complete(parser, options.shell))
    return Exit.AGREES


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield all actions of a parser and of its subcommands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def _describe(action: argparse.Action, names: Mapping[str, Iterable[str]]) -> None:
    """Set the choices or file type that shtab completes for an option; `names` is by option."""
    import shtab

    if action.dest in names:
        action.choices = sorted(names[action.dest])
    elif action.metavar == "DIR":
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    elif action.type is Path or action.metavar == "FILE":
        action.complete = shtab.FILE  # type: ignore[attr-defined]
