# SPDX-License-Identifier: GPL-2.0-only
"""Reports on faults of this program's own, with what its authors would ask for."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import shlex
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import harness
from harness.errors import HarnessError, OwnFault
from harness.host import blame, home, tool

KEPT = 20
_PROGRAMS = ("qemu-system-aarch64", "aarch64-linux-gnu-gcc", "make")
_BEGIN = "A fault of this program's own"
_HINT = "Report it with that file, which has the traceback; it names paths and options of yours."


def reported(error: Exception, logs: Sequence[Path] = ()) -> OwnFault:
    """
    Write the report on an unexpected error; the sentence returned names its file.

    `logs` are the folders of the runs in which it happened.  If the file cannot be written,
    the report goes to standard error.
    """
    what = f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(".: ")
    sentence = f"{_BEGIN}: {what}."
    text = "".join(f"{line}\n" for line in _lines(error, logs))
    try:
        file = _new_file()
        file.write_text(text, errors="backslashreplace")
    except (OSError, HarnessError):
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)
        return OwnFault(sentence, "Report it with the text above; no file could be written.")
    return OwnFault(f"{sentence} A report is in {file}.", _HINT)


def is_reported_in(text: str) -> bool:
    """Whether a sentence is one of reported()."""
    return text.startswith(_BEGIN)


def foreseen(error: BaseException) -> HarnessError | None:
    """Return the error as a HarnessError, or None if it is a fault of this program's own."""
    if isinstance(error, MemoryError):
        error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    if isinstance(error, OSError):
        return blame.explained(error)
    return error if isinstance(error, HarnessError) and not isinstance(error, OwnFault) else None


def _new_file() -> Path:
    folder = home.state() / "faults"
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.txt"))[: 1 - KEPT]:
        old.unlink(missing_ok=True)
    return folder / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}.txt"


def _lines(error: Exception, logs: Sequence[Path]) -> Iterator[str]:
    yield f"command: {_without_passwords(shlex.join(sys.argv))}"
    yield f"time: {time.strftime('%Y-%m-%d %H:%M:%S %z')}"
    yield from (f"logs: {folder}" for folder in logs)
    yield f"jprobe-harness: {harness.__version__}"
    yield f"Python: {sys.version}"
    yield f"machine: {platform.platform()}"
    yield from _distributions()
    for program in _PROGRAMS:
        yield f"{program}: {_version(program)}"
    yield ""
    yield from "".join(traceback.format_exception(error)).splitlines()


def _distributions() -> Iterator[str]:
    """Yield the distributions that this program requires, with their versions."""
    # Slow to import, and hardly ever needed.
    from importlib import metadata

    required: list[str] = []
    with contextlib.suppress(metadata.PackageNotFoundError):
        required += metadata.requires("jprobe-harness") or []
    for one in required:
        name = re.split(r"[^\w.-]", one, maxsplit=1)[0]
        with contextlib.suppress(metadata.PackageNotFoundError):
            yield f"{name}: {metadata.version(name)}"


def _version(program: str) -> str:
    try:
        return tool.run([program, "--version"], seconds=10).stdout.partition("\n")[0]
    except HarnessError as error:
        return error.sentence


def _without_passwords(command: str) -> str:
    """Return a command line with the passwords in URLs of stores left out."""
    return re.sub(r"(://[^/@\s]*):[^/@\s]*@", r"\1:...@", command)
