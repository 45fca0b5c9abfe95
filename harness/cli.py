# SPDX-License-Identifier: GPL-2.0-only
"""The command jprobe-harness."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn, Protocol

from harness import __version__, blame
from harness.commands import (
    bench,
    completion,
    cost,
    doctor,
    dump,
    fuzz,
    history,
    layout,
    listing,
    log,
    manual,
    nightly,
    output,
    predict,
    report,
    repro,
    runs,
    shell,
    ssh,
    storm,
)
from harness.errors import Exit, HarnessError

EPILOG = (
    "exit status: 0 all as predicted, 1 a verdict differs or the kernel died, 2 usage or"
    " configuration, 3 the infrastructure failed or the run is incomplete, 125 the kernel"
    " cannot be judged, as it does not build or boot"
)


class Command(Protocol):
    """A module of harness.commands."""

    # One sentence, and a line that works.
    SUMMARY: str
    EXAMPLE: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what it takes."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; returns the exit status, or raises HarnessError."""


COMMANDS: Mapping[str, Command] = {
    "repro": repro,
    "fuzz": fuzz,
    "storm": storm,
    "cost": cost,
    "nightly": nightly,
    "report": report,
    "history": history,
    "shell": shell,
    "ssh": ssh,
    "dump": dump,
    "layout": layout,
    "predict": predict,
    "list": listing,
    "runs": runs,
    "log": log,
    "doctor": doctor,
    "bench": bench,
    "completion": completion,
    "man": manual,
}


class _Parser(argparse.ArgumentParser):
    """Ends with one sentence and the documented status."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}.\n  See: {self.prog} --help", file=sys.stderr)
        sys.exit(Exit.USAGE)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _Parser(
        prog="jprobe-harness",
        description="Measures which arguments a jprobe's stack policy leaves corrupt.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        added = subparsers.add_parser(
            name,
            help=command.SUMMARY,
            description=f"{command.SUMMARY[0].upper()}{command.SUMMARY[1:]}.",
            epilog=f"example: {command.EXAMPLE}",
        )
        command.arguments(added)
        # Some commands tell of the others.
        added.set_defaults(run=command.run, parser=top)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    status = _run(options)
    if getattr(options, "bisect", False) and status in (Exit.USAGE, Exit.INFRASTRUCTURE):
        return repro.BISECT_STOP
    return status


def _run(options: argparse.Namespace) -> int:
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding gets a question mark, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        output.check_writable(options)
        status: int = options.run(options)
        # Here, as at the interpreter's end nobody would catch a closed pipe.
        sys.stdout.flush()
    except HarnessError as error:
        _complain(error)
        return error.exit_status
    except KeyboardInterrupt:
        print("jprobe-harness: interrupted.", file=sys.stderr)
        return Exit.INFRASTRUCTURE
    except BrokenPipeError:
        # A reader such as head has seen enough; keep the interpreter from flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.INFRASTRUCTURE
    except OSError as error:
        _complain(blame.explained(error))
        return Exit.INFRASTRUCTURE
    return status


def _complain(error: HarnessError) -> None:
    print(f"jprobe-harness: {error.sentence}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
