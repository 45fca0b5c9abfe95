# SPDX-License-Identifier: GPL-2.0-only
"""The command jprobe-harness."""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol

from harness import __version__, printable, steps
from harness.commands import output, progress
from harness.errors import Exit, OwnFault, Stopped, nearest
from harness.host import home, stopping, temporary, tool

EPILOG = (
    "exit status: 0 all as predicted, 1 a verdict differs or the kernel died, 2 usage or"
    " configuration, 3 the infrastructure failed or the run is incomplete, 4 a fault of this"
    " program's own, 125 the kernel cannot be judged, as it does not build or boot"
)


NOTHING_JUDGED = Stopped(
    "nothing was judged yet.",
    "What was fetched and built until then is kept; the same command continues from there.",
)


class Command(Protocol):
    """A module of harness.commands."""

    # A phrase for the help, and a command line that works.
    SUMMARY: str
    EXAMPLE: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options and arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; returns the exit status, or raises HarnessError."""


_NAMES = (
    "repro", "fuzz", "storm", "cost", "answers", "nightly", "report", "history", "shell", "ssh",
    "dump", "layout", "survey", "where", "audit", "tracers", "predict", "list", "runs", "log",
    "doctor", "bench", "completion", "man",
)  # fmt: skip
# The modules of commands whose names they cannot have.
_MODULES = {"list": "listing", "man": "manual"}


class _Commands(Mapping[str, Command]):
    """The commands by name.  Each is imported when it is asked for, as all take as long as QEMU."""

    def __getitem__(self, name: str) -> Command:
        if name not in _NAMES:
            raise KeyError(name)
        module: Any = importlib.import_module(f"harness.commands.{_MODULES.get(name, name)}")
        command: Command = module
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


COMMANDS = _Commands()


class _Parser(argparse.ArgumentParser):
    """A parser that exits with status 2 after one sentence, which names the nearest valid word."""

    # Python 3.14 prints help in colours, whose escapes our guarded streams would show as text.
    color = property(lambda self: False, lambda self, value: None)

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message.rstrip('.')}.\n  See: {self.prog} --help", file=sys.stderr)
        sys.exit(Exit.USAGE)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = action.choices
        if choices is None or value in choices:
            return
        known = [str(choice) for choice in choices]
        what = "command" if isinstance(action, argparse._SubParsersAction) else "choice"
        near = nearest(str(value), known) or f" Choose from: {', '.join(known)}."
        raise argparse.ArgumentError(
            None if what == "command" else action, f"there is no {what} '{value}'.{near}"
        )

    def unknown(self, words: Sequence[str]) -> NoReturn:
        """Exit with an error for words that no option or argument takes."""
        options = [word.partition("=")[0] for word in words if word.startswith("-")]
        if not options:
            self.error(f"there is no place for '{words[0]}'")
        known = (name for name in self._option_string_actions if name.startswith("--"))
        self.error(f"there is no option '{options[0]}'.{nearest(options[0], known)}")

    def takes(self, word: str) -> bool:
        """Return False if `word` is a long option that is not known, abbreviated or not."""
        name = word.partition("=")[0]
        # A word with a blank is the value of an option, and "--" ends the options.
        return not re.fullmatch(r"--\S+", word) or any(
            known.startswith(name) for known in self._option_string_actions
        )


def parser(names: Iterable[str] = _NAMES) -> _Parser:
    """Return the parser of the command line, which knows the commands of these names."""
    top = _Parser(
        prog="jprobe-harness",
        description="Measures which arguments a jprobe's stack policy leaves corrupt.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in names:
        command = COMMANDS[name]
        added = subparsers.add_parser(
            name,
            help=command.SUMMARY,
            description=f"{command.SUMMARY[0].upper()}{command.SUMMARY[1:]}.",
            epilog=f"example: {command.EXAMPLE}",
        )
        command.arguments(added)
        added.add_argument(
            "-v",
            "--verbose",
            action="count",
            default=0,
            help="print what is done and how long it takes; twice: in detail, each program run",
        )
        added.add_argument(
            "--log-file",
            type=output.Target,
            metavar="FILE",
            help="write that to a file, in detail",
        )
        # Some commands list the others.
        added.set_defaults(run=command.run, parser=parser, own=added)
    # How the status is passed to the caller; repro has an option that changes it.
    top.set_defaults(ends=int)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _leave_garbage()
    output.settle()
    with printable.guarded_streams():
        return _main(words)


def _leave_garbage() -> None:
    """
    Have the interpreter look for garbage seldom, and not at all when it exits.

    What a command makes it needs to its end, and looking at all of that again and again takes
    a quarter of the time for judging.
    """
    gc.set_threshold(100_000, 50, 50)
    atexit.register(gc.freeze)


def _main(words: Sequence[str]) -> int:
    try:
        options = _parsed(words)
        with stopping.obeyed():
            status: int = options.ends(_run(options))
            return status
    except SystemExit as error:
        if words[:1] == ["repro"] and "--bisect" in words:
            # The command line was not understood, so there are no options to look at.
            from harness.commands import repro

            raise SystemExit(repro.for_git(int(error.code or 0))) from None
        raise
    except KeyboardInterrupt as interrupt:
        # The signal came before the command began, or after its end.
        _complain(f"{stopping.how()}.", "", interrupt)
        return Exit.INFRASTRUCTURE
    finally:
        output.let_go()


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    top = parser(words[:1]) if words[:1] and words[0] in COMMANDS else parser()
    _check_options(top, words)
    options, unknown = top.parse_known_args(words)
    if unknown:
        options.own.unknown(unknown)
    return options


def _check_options(top: _Parser, words: Sequence[str]) -> None:
    """End at a misspelt option, where argparse would report what is missing without it."""
    own = top
    for word in itertools.takewhile(lambda word: word != "--", words):
        if not own.takes(word):
            own.unknown([word])
        if own is top:
            own = _command(top, word) or top


def _command(top: _Parser, word: str) -> _Parser | None:
    commands = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    found: _Parser | None = commands.choices.get(word)
    return found


def _run(options: argparse.Namespace) -> int:
    """Run the command, report what ends it, and leave nothing behind."""
    try:
        return _status(options)
    finally:
        with stopping.held():
            tool.end_all()
            temporary.clear()


def _status(options: argparse.Namespace) -> int:
    try:
        home.check_names(sys.argv[1:])
        output.check_writable(options)
        with progress.logged(options.verbose, options.log_file), steps.step(options.command):
            status: int = options.run(options)
        # Here, as at the interpreter's end nobody would catch a closed pipe.
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        stopped = interrupt if isinstance(interrupt, Stopped) else NOTHING_JUDGED
        _complain(f"{stopping.how()}; {stopped.sentence}", stopped.hint, interrupt)
        return stopped.exit_status
    except BrokenPipeError as error:
        # A reader such as head has seen enough.
        _complain(output.CLOSED.sentence, output.CLOSED.hint, error)
        return output.CLOSED.exit_status
    except Exception as error:
        from harness import fault

        reported = fault.foreseen(error) or _own_fault(error)
        _complain(reported.sentence, reported.hint, error)
        return reported.exit_status
    return status


def _own_fault(error: Exception) -> OwnFault:
    from harness import fault
    from harness.run import logs

    if not isinstance(error, OwnFault):
        return fault.reported(error, logs.begun)
    if not isinstance(error.__cause__, Exception):
        return error
    # What it says is how far the command came.
    cause = fault.reported(error.__cause__, logs.begun)
    whole = OwnFault(f"{cause.sentence} {error.sentence}", f"{cause.hint}  {error.hint}".strip())
    whole.exit_status = error.exit_status
    return whole


def _complain(sentence: str, hint: str, raised: BaseException) -> None:
    """Write a sentence, its hint, and the notes of the exception to standard error."""
    notes = (f"jprobe-harness: {note}" for note in getattr(raised, "__notes__", ()))
    output.complain(f"jprobe-harness: {sentence}", *([f"  {hint}"] if hint else []), *notes)


if __name__ == "__main__":
    sys.exit(main())
