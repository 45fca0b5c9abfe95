# SPDX-License-Identifier: GPL-2.0-only
"""
Runs other programs, and turns a failure to run one into a one-sentence error.

A program gets a fixed environment and not the user's, so that its arguments alone decide
what it does: make would take a KBUILD_OUTPUT from the environment, and git a GIT_DIR.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import InfrastructureError
from harness.host import blame, stopping
from harness.host.deadline import Deadline
from harness.steps import step

DOCTOR = blame.DOCTOR
SECONDS = 120
# The variables of the user's environment that a program gets.
PASSED = (
    # Where programs and their libraries are.
    "PATH", "LD_LIBRARY_PATH",
    # Who the user is, and where the user's files are.
    "HOME", "USER", "LOGNAME", "SUDO_UID", "TMPDIR",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
    # The way to an archive.
    "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
    "APT_CONFIG",
    # Where a compiler's cache is, which does not affect any result.
    "CCACHE_DIR", "CCACHE_CONFIGPATH", "CCACHE_MAXSIZE", "CCACHE_DISABLE",
    # What a debugger's window can do.
    "TERM",
)  # fmt: skip
LOCALE = "C.UTF-8"
# How long a program that was asked to end may take to clean up.
GRACE_SECONDS = 5.0
# Programs that were started and have not ended.
_RUNNING: set[subprocess.Popen[Any]] = set()


def stated_environment(added: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of every program, with `added` variables."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    return {**passed, "LC_ALL": LOCALE, **(added or {})}


# A process that ended before the program asked for its signal has another parent by then.
_BOUND = '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"'
# Named in full, as the user's PATH may not lead to it.
_SHELL = "/bin/sh"


def bound(command: Sequence[str | Path]) -> list[str]:
    """Return a command that is killed when this process ends, however and however soon."""
    check = [_SHELL, "-c", _BOUND, _SHELL, str(os.getpid())]
    return ["setpriv", "--pdeathsig", "KILL", *check, *map(str, command)]


def with_stated_environment(command: Sequence[str]) -> list[str]:
    """Return a command that runs `command` with stated_environment()."""
    variables = (f"{name}={value}" for name, value in stated_environment().items())
    return ["env", "--ignore-environment", *variables, *command]


@contextmanager
def started(
    command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, **options: Any
) -> Iterator[subprocess.Popen[Any]]:
    """
    Start a program without input and with Popen's `options`; on exit it is ended if need be.

    Its own children are ended with it, but not if it ended by itself.  Raises
    InfrastructureError when it cannot be run.
    """
    what = f"run {shlex.join(map(str, command))}"
    with step(what, logging.DEBUG), _started(command, environment, options) as process:
        yield process


@contextmanager
def _started(
    command: Sequence[str | Path], environment: Mapping[str, str] | None, options: dict[str, Any]
) -> Iterator[subprocess.Popen[Any]]:
    with stopping.held():
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                env=stated_environment(environment),
                # Ctrl-C is meant for this process, which ends all of them.
                start_new_session=True,
                **options,
            )
        except OSError as error:
            raise _not_run(command, error) from error
        _RUNNING.add(process)
    try:
        yield process
    except BaseException:
        end([process])
        raise
    finally:
        if process.poll() is None:
            end([process])
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
        _RUNNING.discard(process)


def end(processes: Sequence[subprocess.Popen[Any]]) -> None:
    """Ask the leaders of process groups to end, and then kill what is left of the groups."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    deadline = Deadline(GRACE_SECONDS)
    for process in processes:
        try:
            process.wait(deadline.left)
        except subprocess.TimeoutExpired:
            for pid in list(descendants(process.pid)):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        _signal(process, signal.SIGKILL)
        process.wait()


def end_all() -> None:
    """End all programs that this process has started and that have not ended."""
    end(list(_RUNNING))


def descendants(pid: int) -> Iterator[int]:
    """Yield the PIDs of a process's descendants, including those that left its group."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        # It may have ended in the meantime.
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text().split()):
                yield child
                yield from descendants(child)


def _signal(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def run(
    command: Sequence[str | Path],
    *,
    seconds: float = SECONDS,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """
    Run a program to its end and return its status and output.

    It gets stated_environment(environment).  Raises InfrastructureError when it cannot be run,
    is killed, or takes longer than `seconds`.
    """
    try:
        with started(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            environment=environment,
        ) as process:
            output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise _too_long(command, seconds) from error
    _check_not_killed(command, process.returncode)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _not_run(command: Sequence[str | Path], error: OSError) -> InfrastructureError:
    if isinstance(error, FileNotFoundError):
        return InfrastructureError(f"{command[0]} is not installed.", DOCTOR)
    return blame.explained(error, f"{command[0]} cannot be run")


def _check_not_killed(command: Sequence[str | Path], status: int) -> None:
    if status < 0:
        raise blame.killed(command[0], -status)


def _too_long(command: Sequence[str | Path], seconds: float) -> InfrastructureError:
    return InfrastructureError(
        f"{command[0]} took longer than {seconds:.0f} s.", "The machine may be overloaded."
    )


def check(
    command: Sequence[str | Path],
    *,
    seconds: float = SECONDS,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program that must succeed, and return its output; raise InfrastructureError."""
    done = run(command, seconds=seconds, environment=environment)
    if done.returncode:
        raise InfrastructureError(
            f"{command[0]} failed with status {done.returncode}: {done.stderr.strip()[-300:]}",
            "Check it with: jprobe-harness doctor",
        )
    return done.stdout


def steps(pattern: str, total: int, report: Callable[[float], None]) -> Callable[[str], None]:
    """
    Return a callback for follow() that reports progress in percent.

    It counts the lines that begin with `pattern`, of which there are about `total`.
    """
    done = 0

    def count(line: str) -> None:
        nonlocal done
        if re.match(pattern, line):
            done += 1
            report(min(99, 100 * done / total))

    return count


def follow(
    command: Sequence[str | Path],
    *,
    log: Path,
    on_line: Callable[[str], None],
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> int:
    """
    Run a program that takes long, call `on_line` with each line of output, and return its status.

    All its output is written to `log`.  Raises InfrastructureError as run() does, after the
    program and its children have ended.  If this process is killed, so is the program.
    """
    if shutil.which(command[0]) is None:
        raise _not_run(command, FileNotFoundError())
    deadline = Deadline(seconds)
    outputs = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        with (
            blame.explaining(f"The log {log} cannot be written"),
            log.open("wb") as file,
            started(bound(command), environment=environment, **outputs) as process,
        ):
            assert process.stdout
            rest = b""
            while True:
                if not select.select([process.stdout], [], [], deadline.left)[0]:
                    raise _too_long(command, seconds)
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    # The program may close its output and continue.
                    status = process.wait(deadline.left)
                    _check_not_killed(command, status)
                    return status
                file.write(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    on_line(line.decode(errors="replace"))
    except subprocess.TimeoutExpired as error:
        raise _too_long(command, seconds) from error
