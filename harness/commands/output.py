# SPDX-License-Identifier: GPL-2.0-only
"""What commands tell while they run and write when they end."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness import printable
from harness.errors import ConfigError, InfrastructureError

T = TypeVar("T")

STDOUT = "-"
# Its descriptor.
_STDOUT = 1
# Options that may name a file, and are no Path.
_READ = ("kernel", "patch")


class Target(str):
    """What an option names for a command to write: a file, or "-" for standard output."""

    __slots__ = ()


@dataclass(frozen=True)
class Output(Generic[T]):
    """A form that a result can be written in."""

    # The option --NAME gives the file.
    name: str
    # For its help.
    shows: str
    make: Callable[[T], bytes]

    def add(self, parser: argparse.ArgumentParser) -> None:
        """The option."""
        parser.add_argument(
            f"--{self.name}",
            type=Target,
            metavar="FILE",
            help=f"write {self.shows}; '-' for standard output",
        )


def tell(
    options: argparse.Namespace, outputs: Sequence[Output[T]], result: T, show: Callable[[T], None]
) -> None:
    """
    Write the forms that were asked for; show the result too, unless that is in their way.

    What fails does not stop the rest, and is raised at the end.
    """
    asked = {one: target for one in outputs if (target := getattr(options, one.name)) is not None}
    steps = [] if STDOUT in asked.values() else [functools.partial(_shown, show, result)]
    each(
        *steps,
        *(functools.partial(_made, target, one, result) for one, target in asked.items()),
    )


def tell_json(
    options: argparse.Namespace, document: Callable[[], object], show: Callable[[], None]
) -> None:
    """The same for a command with no form but --json."""
    json = Output[None]("json", "", lambda _: as_json(document()))
    tell(options, (json,), None, lambda _: show())


def each(*steps: Callable[[], None]) -> None:
    """Take all steps, whatever becomes of one; raises the first failure, with notes of others."""
    failures = []
    for step in steps:
        try:
            step()
        except Exception as error:
            failures.append(error)
    if failures:
        first, *others = failures
        for other in others:
            first.add_note(str(other))
        raise first


def _shown(show: Callable[[T], None], result: T) -> None:
    show(result)
    # A full disk, or a reader that is gone, is known now.
    sys.stdout.flush()


def _made(target: str, output: Output[T], result: T) -> None:
    write(target, output.make(result))


def write(path: str, data: bytes) -> None:
    """Write a report, to standard output for "-"."""
    try:
        if path == STDOUT:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        else:
            Path(path).write_bytes(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        name = "standard output" if path == STDOUT else path
        raise InfrastructureError(f"{name} cannot be written: {error.strerror}.") from error


def as_json(document: object) -> bytes:
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    return printable.as_json(text).encode() + b"\n"


def check_writable(options: argparse.Namespace) -> None:
    """
    Find out before a long run, not after it, what cannot be written; raises ConfigError.

    What names standard output in another way, such as /dev/stdout, is "-" then.
    """
    targets = {name: one for name, one in vars(options).items() if isinstance(one, Target)}
    for name, target in targets.items():
        if not target:
            raise ConfigError(f"--{name}: give a file, or '-' for standard output.")
        if _place(target) == STDOUT:
            setattr(options, name, Target(STDOUT))
    check_files(list(targets.values()))
    _check_inputs(options, {_place(target): target for target in targets.values()})


def _check_inputs(options: argparse.Namespace, places: Mapping[object, str]) -> None:
    """Refuse to write over what is to be read, such as a matrix or a patch."""
    for name, value in vars(options).items():
        for given in value if isinstance(value, list) else [value]:
            if isinstance(given, Path) or name in _READ:
                target = places.get(_place(str(given)))
                if target is not None and Path(given).is_file():
                    raise ConfigError(
                        f"{target} is read, and would be written over.", "Give another file."
                    )


def check_files(targets: Sequence[str]) -> None:
    """Refuse what cannot be written, or would be written over by another."""
    seen: dict[object, str] = {}
    for target in targets:
        if target != STDOUT and (why := _unwritable(target)):
            raise ConfigError(f"{target} cannot be written: {why}.")
        if (place := _place(target)) in seen:
            name = "standard output" if target == STDOUT else target
            raise ConfigError(
                f"Two outputs go to {name}, and one would be lost.", "Give each a file of its own."
            )
        if place is not None:
            seen[place] = target


def _unwritable(path: str) -> str:
    """Why nothing can be written to a file, which is left as it is; or nothing."""
    try:
        if stat.S_ISDIR(Path(path).stat().st_mode):
            return "it is a directory"
        return "" if os.access(path, os.W_OK) else "you may not write to it"
    except FileNotFoundError:
        return unwritable_folder(os.path.dirname(os.path.realpath(path)))  # noqa: PTH120
    except OSError as error:
        return (error.strerror or str(error)).lower()


def unwritable_folder(path: str | Path) -> str:
    """Why no file can be made in a folder; or nothing."""
    if not Path(path).is_dir():
        return "there is no such directory"
    if not os.access(path, os.W_OK | os.X_OK):
        return f"you may make no file in {path}"
    return ""


def _place(target: str) -> object:
    """The same for all names of one file; None for what loses any output."""
    if target == STDOUT:
        return STDOUT
    try:
        status = Path(target).stat()
    except (OSError, ValueError):
        return os.path.realpath(target)
    if os.path.samestat(status, Path(os.devnull).stat()):
        return None
    with contextlib.suppress(OSError):
        # Closed, it is nobody's.
        if os.path.samestat(status, os.fstat(_STDOUT)):
            return STDOUT
    return status.st_dev, status.st_ino


class Progress:
    """Progress bars, one for each thing that takes long."""

    def __init__(self, resources: ExitStack) -> None:
        self._resources = resources
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def _update(self, what: str, total: float, completed: float) -> None:
        if not sys.stderr.isatty():
            return
        if self._bars is None:
            from harness.report import terminal

            self._bars = self._resources.enter_context(terminal.progress())
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=completed)

    def say(self, line: str) -> None:
        """A line for who has no bars to look at, such as a log of a CI system."""
        if not sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)

    def percent(self, what: str, percent: float) -> None:
        self._update(what, 100, percent)

    def step(self, what: str, total: int, completed: int) -> None:
        self._update(what, total, completed)
