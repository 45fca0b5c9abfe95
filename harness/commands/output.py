# SPDX-License-Identifier: GPL-2.0-only
"""What commands write when they end."""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from harness import printable
from harness.errors import ConfigError, InfrastructureError, Stopped, is_foreseen
from harness.host import blame, stopping

T = TypeVar("T")

STDOUT = "-"
# The file descriptors of standard output and standard error.
_STDOUT, _STDERR = 1, 2
# Options that may name an input file, and whose values are not of type Path.
_READ = ("kernel", "patch", "store")
CLOSED = InfrastructureError(
    "Standard output was closed before all was written.", "Give --json FILE, or read it to its end."
)


class Target(str):
    """What an option names for a command to write: a file, or "-" for standard output."""

    __slots__ = ()


@dataclass(frozen=True)
class Output(Generic[T]):
    """A format that a result can be written in."""

    # The option --NAME names the file to write.
    name: str
    # What the file contains, for the option's help.
    shows: str
    make: Callable[[T], bytes]

    def add(self, parser: argparse.ArgumentParser) -> None:
        """Add the option that names the file."""
        parser.add_argument(
            f"--{self.name}",
            type=Target,
            metavar="FILE",
            help=f"write {self.shows}; '-' for standard output",
        )


def report(
    options: argparse.Namespace, outputs: Sequence[Output[T]], result: T, show: Callable[[T], None]
) -> None:
    """
    Write the formats that were asked for; show the result too, unless one goes to standard output.

    A failure does not stop the rest, and is raised at the end.  A signal that comes meanwhile
    is raised as Stopped, at the end too.
    """
    asked = {one: target for one in outputs if (target := getattr(options, one.name)) is not None}
    steps = [] if STDOUT in asked.values() else [functools.partial(_shown, show, result)]
    try:
        with stopping.held():
            each(
                *steps,
                *(functools.partial(_made, target, one, result) for one, target in asked.items()),
            )
    except KeyboardInterrupt:
        raise Stopped("all that there is was reported.") from None


def report_json(
    options: argparse.Namespace, document: Callable[[], object], show: Callable[[], None]
) -> None:
    """Do as report() for a command whose only format is --json."""
    json = Output[None]("json", "", lambda _: as_json(document()))
    report(options, (json,), None, lambda _: show())


def each(*steps: Callable[[], None]) -> None:
    """Call all steps, even if one fails; raises the first failure, with the others as notes."""
    failures = []
    for step in steps:
        try:
            step()
        except Exception as error:
            failures.append(error)
    if failures:
        # Raise an error in our own code first: it must not be hidden by one such as a full disk.
        first, *others = sorted(failures, key=is_foreseen)
        for other in others:
            first.add_note(_sentence(other))
        raise first


def each_then(end: BaseException | None, *steps: Callable[[], None]) -> None:
    """Call all steps; then raise `end`, which ended the command, with failures as notes."""
    try:
        each(*steps)
    except Exception as error:
        if end is None or not is_foreseen(error):
            raise
        end.add_note(_sentence(error))
    if end:
        raise end


def _sentence(error: Exception) -> str:
    if isinstance(error, BrokenPipeError):
        return CLOSED.sentence
    return str(blame.explained(error) if isinstance(error, OSError) else error)


def _shown(show: Callable[[T], None], result: T) -> None:
    try:
        show(result)
        # A full disk or a closed pipe is noticed only when the buffer is written.
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten("standard output", error) from error


def _made(target: str, output: Output[T], result: T) -> None:
    write(target, output.make(result))


def write(path: str, data: bytes) -> None:
    """Write a report to a file, or to standard output if `path` is "-"."""
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
        raise _unwritten("standard output" if path == STDOUT else path, error) from error


def _unwritten(name: str, error: OSError) -> InfrastructureError:
    return InfrastructureError(f"{name} cannot be written: {error.strerror}.")


def settle() -> None:
    """
    Open something in place of each standard stream that is closed.

    Otherwise the next file that is opened would get its descriptor.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # This is the lowest free descriptor, so open() returns it.  Writing to standard output
            # has to fail, or lost results would go unnoticed; standard error may be lost.
            os.open(os.devnull, os.O_WRONLY if number == _STDERR else os.O_RDONLY)
            os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        # On a terminal of another encoding, print question marks rather than fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def let_go() -> None:
    """Keep the interpreter from a failing flush of the standard streams when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def complain(*lines: str) -> None:
    """Write lines to standard error; errors are ignored."""
    with contextlib.suppress(OSError):
        for line in lines:
            print(line, file=sys.stderr)
        sys.stderr.flush()


def as_json(document: object) -> bytes:
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    return printable.as_json(text).encode() + b"\n"


def check_writable(options: argparse.Namespace) -> None:
    """
    Raise ConfigError if an output cannot be written, before a long run rather than after it.

    An output that is standard output by another name, such as /dev/stdout, becomes "-".
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
    """Raise ConfigError if an output would overwrite an input, such as a matrix or a patch."""
    for path in _inputs(options):
        target = places.get(_place(str(path)))
        if target is not None and path.is_file():
            raise ConfigError(f"{target} is read, and would be written over.", "Give another file.")


def _inputs(options: argparse.Namespace) -> Iterator[Path]:
    """Yield the option values that may be input files."""
    for name, value in vars(options).items():
        for given in value if isinstance(value, list) else [value]:
            if isinstance(given, Path) or (name in _READ and isinstance(given, str)):
                yield Path(str(given).removeprefix("sqlite:///"))


def check_files(targets: Sequence[str]) -> None:
    """Raise ConfigError for an output that cannot be written or that another would overwrite."""
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
    """Return why a file cannot be written, or ""; does not touch the file."""
    try:
        if stat.S_ISDIR(Path(path).stat().st_mode):
            return "it is a directory"
        return "" if os.access(path, os.W_OK) else "you may not write to it"
    except FileNotFoundError:
        return unwritable_folder(os.path.dirname(os.path.realpath(path)))  # noqa: PTH120
    except OSError as error:
        return (error.strerror or str(error)).lower()


def unwritable_folder(path: str | Path) -> str:
    """Return why no file can be created in a folder, or ""."""
    if not Path(path).is_dir():
        return "there is no such directory"
    if not os.access(path, os.W_OK | os.X_OK):
        return f"you may make no file in {path}"
    return ""


def _place(target: str) -> object:
    """Return a key that is the same for all names of one file; None for /dev/null."""
    if target == STDOUT:
        return STDOUT
    try:
        status = Path(target).stat()
    except (OSError, ValueError):
        return os.path.realpath(target)
    if os.path.samestat(status, Path(os.devnull).stat()):
        return None
    with contextlib.suppress(OSError):
        # Standard output may be closed.
        if os.path.samestat(status, os.fstat(_STDOUT)):
            return STDOUT
    return status.st_dev, status.st_ino
