# SPDX-License-Identifier: GPL-2.0-only
"""
Finds out whether a tool failed because of this machine or because of its input.

A build reports all its errors in the same way.  A full disk, a compiler that was killed or
a missing program is not the kernel's fault, so their signs are searched for before a failure
is attributed to a kernel.
"""

from __future__ import annotations

import contextlib
import errno
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError, HarnessError, InfrastructureError

DOCTOR = "Run: jprobe-harness doctor --install (with --extra for what only some jobs need)"
_MEMORY = "Free some memory, or run fewer programs; the kernel's log may name what was killed."
_NOEXEC = "A file system may be mounted noexec: set XDG_CACHE_HOME to another."


@dataclass(frozen=True)
class Sign:
    """The signs of one way in which a machine fails."""

    # What is wrong, as the end of a sentence.
    why: str
    hint: str
    # The errors of our own system calls, and a pattern for what tools print.
    errors: tuple[int, ...]
    words: str


SIGNS = (
    Sign(
        "a disk is full",
        "Make room; see: df -h. The cache, the logs and TMPDIR each may lie on another disk.",
        (errno.ENOSPC, errno.EDQUOT),
        r"No space left on device|Disk quota exceeded",
    ),
    Sign(
        "a file would be too large",
        "Raise the limit: ulimit -f",
        (errno.EFBIG,),
        r"File too large|File size limit exceeded",
    ),
    Sign(
        "too many files are open",
        "Raise the limit: ulimit -n 1024",
        (errno.EMFILE, errno.ENFILE),
        r"Too many open files",
    ),
    Sign(
        "there is no memory left",
        _MEMORY,
        (errno.ENOMEM,),
        r"Cannot allocate memory|[Oo]ut of memory|memory exhausted|std::bad_alloc",
    ),
    Sign(
        "no further process can be started",
        "End some, or raise the limit: ulimit -u",
        (errno.EAGAIN,),
        r"Resource temporarily unavailable",
    ),
    Sign(
        "a file system is read-only",
        "Set XDG_CACHE_HOME, XDG_STATE_HOME and TMPDIR to folders that can be written.",
        (errno.EROFS,),
        r"Read-only file system",
    ),
    Sign("a disk fails", "Look at the kernel's log.", (errno.EIO,), r"(?:Input/output|I/O) error"),
    Sign(
        "a file may not be used",
        "Check its owner and its permissions.",
        (errno.EACCES, errno.EPERM),
        r"(?:Permission denied|Operation not permitted)",
    ),
    Sign(
        "a program does not run on this machine",
        "Where a build folder was made on another machine, run 'make modules_prepare' in it here.",
        (errno.ENOEXEC,),
        r"Exec format error|version `GLIBC_\S+' not found|error while loading shared libraries",
    ),
    Sign(
        "a program was killed",
        _MEMORY,
        (),
        # gcc, its linker, clang; a compiler that reports an internal error was not killed.
        r"signal terminated program|internal compiler error: (?:Killed|Terminated|Bus error)"
        r"|terminated (?:by|with) signal|unable to execute command: [A-Z]|failed due to signal"
        # make, about a program that it ran, and about one that a shell ran for it.
        r"|\*\*\* \[.*\] (?!Error \d)[A-Z]\w+.*|\*\*\* \[.*\] Error 1[345]\d",
    ),
    Sign(
        "a program or a library is missing",
        DOCTOR,
        (),
        r"cannot exec(?:ute)? .*: No such file or directory|installation problem"
        r"|execvp \S+: No such file or directory|^bwrap: .*|cannot find -l\w+"
        r"|fatal error: (?:openssl/|libelf|gelf|elfutils/|dwarf)\S*: No such file or directory",
    ),
)
# Errors for which a file that cannot be read is at fault, and not the machine.
_OF_A_FILE = (
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP,
    errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL,
)  # fmt: skip
# Lines in which a compiler quotes a source, which is no sign whatever it contains.
_QUOTED = re.compile(r"^\s*\d*\s*\||:\d+: (?:error|warning|note): ")
# What a shell, make or env prints about a program that it could not run.
_NOT_RUN = re.compile(
    r"^(?:\S+: (?:line )?\d+|make(?:\[\d+\])?|\S*env): (?:execv?p?: )?[^\w./-]?([\w./+-]+)\W?"
    r": (command not found|not found|No such file or directory|Permission denied)$"
)
# make's status for a program that could not be run.
_NOT_RUN_STATUS = re.compile(r"\bError 12[67]\b")


def explained(error: OSError, what: str = "") -> InfrastructureError:
    """Return the error for a failed system call of our own."""
    where = f"{error.filename}: " if error.filename and str(error.filename) not in what else ""
    detail = f"{where}{error.strerror or error}"
    sign = next((sign for sign in SIGNS if error.errno in sign.errors), None)
    begin = f"{what}: " if what else ""
    if sign is None:
        return InfrastructureError(f"{begin}{detail}.", "Check the disk and its permissions.")
    return InfrastructureError(f"{begin}{detail}.", sign.hint)


def unreadable(path: Path, error: OSError) -> HarnessError:
    """Return the error for a file that the user named and that cannot be read."""
    if error.errno in _OF_A_FILE:
        return ConfigError(f"{path}: cannot be read: {error.strerror}.")
    return explained(error, f"{path}: cannot be read")


@contextlib.contextmanager
def explaining(what: str = "") -> Iterator[None]:
    """Turn a failed system call of our own into an InfrastructureError."""
    try:
        yield
    except BrokenPipeError:
        # The reader of our output has closed it.
        raise
    except OSError as error:
        raise explained(error, what) from error


def killed(program: object, number: int) -> InfrastructureError:
    """Return the error for a program that a signal ended."""
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return InfrastructureError(f"{program} was killed by {name}.", _MEMORY)


def check(what: str, status: int, output: str, given: Sequence[Path] = ()) -> None:
    """
    Raise InfrastructureError where this machine made a tool fail.

    `what` begins the sentence; `status` and `output` are the tool's; `given` are the
    folders that it worked on, whose own scripts may be missing or not executable.
    """
    if not status:
        return
    # git itself exits with 129.
    if 129 < status <= 128 + signal.SIGSYS:
        raise killed(what, status - 128)
    lines = [line for line in output.splitlines() if not _QUOTED.search(line)]
    not_run = [line for line in lines if _NOT_RUN.match(line)]
    for sign in SIGNS:
        for line in lines:
            if line not in not_run and re.search(sign.words, line):
                raise _failed(what, sign.why, line, sign.hint)
    if status in (126, 127) or _NOT_RUN_STATUS.search(output):
        for line in not_run:
            if _is_ours(line, given):
                hint = _NOEXEC if line.endswith("Permission denied") else DOCTOR
                raise _failed(what, "a program could not be run", line, hint)


def _failed(what: str, why: str, line: str, hint: str) -> InfrastructureError:
    # The place in a source is of no use in this sentence.
    detail = line.rpartition("rror: ")[2].strip().rstrip(".")
    return InfrastructureError(f"{what} failed, as {why}: {detail}.", hint)


def _is_ours(line: str, given: Sequence[Path]) -> bool:
    """Return whether a program that could not be run is this machine's, not one in `given`."""
    match = _NOT_RUN.match(line)
    assert match
    name, why = match.groups()
    if "/" not in name:
        return not name.startswith("-")
    files = [folder / name for folder in given if (folder / name).is_relative_to(folder)]
    if not files:
        return name.startswith("/")
    there = [file for file in files if file.exists()]
    if why == "Permission denied":
        # An executable file that may not be run lies on a file system mounted noexec.
        return any(file.stat().st_mode & 0o111 for file in there)
    # An existing script that is not found lacks its interpreter.
    return bool(there)


def first_error(output: str) -> str:
    """Return the first error of a compiler, a linker or make in a build's output."""
    for pattern in (r"^(.*?: (?:fatal )?error: .*)$", r"^(.*undefined reference.*)$",
                    r"^(make(?:\[\d+\])?: \*\*\* .*)$", r"^(.*\*\*\*.*)$"):  # fmt: skip
        if match := re.search(pattern, output, re.MULTILINE):
            return match[1].strip()
    return output.strip()[-300:]
