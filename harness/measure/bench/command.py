# SPDX-License-Identifier: GPL-2.0-only
"""Runs commands as a user would, and takes the time from their start to their end."""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import InfrastructureError
from harness.host import tool
from harness.host.deadline import Deadline
from harness.measure.bench import processes
from harness.measure.bench.processes import Memory

RUN_SECONDS = 1800
# How often to look whether QEMU has been started: the error of Timed.before.
SOON_SECONDS = 0.002
# How often to look for a further QEMU, and at the memory.
LATER_SECONDS = 0.02
_SHOWN = 500
# This program, whatever else there is in the current directory.
HARNESS = (sys.executable, "-P", "-m", "harness.cli")


@dataclass(frozen=True)
class Timed:
    """One run, in seconds."""

    # From the command's start to its end.
    seconds: float
    # From the command's start to that of the first QEMU, and from the last QEMU's end to the
    # command's; None where there was none.
    before: float | None = None
    after: float | None = None


def run(command: Sequence[str | Path], *, seconds: float = RUN_SECONDS) -> Timed:
    """
    Run a command to its end, which has to be a success.

    Raises InfrastructureError if it is none, or takes longer than `seconds`.
    """
    return _run(command, seconds, lambda pid: None)


def memory(command: Sequence[str | Path], *, seconds: float = RUN_SECONDS) -> Memory:
    """
    Run a command as run() does, and return the most memory that it took.

    It is looked at every LATER_SECONDS, which takes time that a run to be timed does not have.
    """
    most = Memory()

    def look(pid: int) -> None:
        nonlocal most
        most = most.most(processes.memory(pid))

    _run(command, seconds, look)
    return most


def _run(command: Sequence[str | Path], seconds: float, look: Callable[[int], object]) -> Timed:
    with tempfile.TemporaryFile() as output:
        begin = time.monotonic()
        with tool.started(
            command,
            # Most commands are this program, which gets the user's environment.
            environment=os.environ,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process:
            first, last = _watch(process, Deadline(seconds), look)
            status = process.wait()
            end = time.monotonic()
        if status:
            output.seek(0)
            said = output.read().decode(errors="replace")[-_SHOWN:]
            raise InfrastructureError(
                f"A timed command ended with status {status}: {shlex.join(map(str, command))}", said
            )
    return Timed(end - begin, first and first - begin, last and end - last)


def _watch(
    process: subprocess.Popen[Any], deadline: Deadline, look: Callable[[int], object]
) -> tuple[float | None, float | None]:
    """Wait for a process's end; return when its first QEMU began and when its last one ended."""
    first = last = None
    with ExitStack() as resources:
        poll = select.poll()

        def watched(pid: int) -> int:
            number = os.pidfd_open(pid)
            resources.callback(os.close, number)
            poll.register(number, select.POLLIN)
            return number

        own = watched(process.pid)
        # The descriptors of the guests that run, by PID.
        running: dict[int, int] = {}
        while not deadline.passed:
            pause = SOON_SECONDS if first is None else LATER_SECONDS
            ready = {number for number, _ in poll.poll(1000 * min(pause, deadline.left))}
            for pid, number in [*running.items()]:
                if number in ready:
                    last = time.monotonic()
                    poll.unregister(number)
                    del running[pid]
            if own in ready:
                return first, last
            for pid in processes.guests(process.pid):
                if pid in running:
                    continue
                try:
                    running[pid] = watched(pid)
                except ProcessLookupError:
                    continue
                first = first or time.monotonic()
            look(process.pid)
    raise InfrastructureError(
        f"A timed command took longer than {deadline.seconds:.0f} s.",
        "The machine may be overloaded.",
    )
