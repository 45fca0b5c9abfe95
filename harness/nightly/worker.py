# SPDX-License-Identifier: GPL-2.0-only
"""
A process for each unit of work, so that whatever ends one ends nothing else.

As a program, it reads a unit from its standard input and writes what came of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import msgspec

from harness.nightly.unit import Done, Unit, result

_RUNNING: set[subprocess.Popen[bytes]] = set()
_STOPPING = threading.Event()

# Tries after a process that was ended from outside.
RETRIES = 1
LAST_WORDS = 300


def work(unit: Unit) -> Done:
    """Do a unit in a process of its own, which ends with this one, or at its deadline."""
    retried: list[str] = []
    while True:
        done = _try(unit, retried)
        if isinstance(done, Done):
            return done
        if len(retried) == RETRIES or _STOPPING.is_set():
            now = time.time()
            return result(unit, now, now, own_trouble=[done], retried=retried)
        retried.append(done)


def _try(unit: Unit, retried: list[str]) -> Done | str:
    """What came of it, or what became of the process."""
    started = time.time()
    # This program again, in the same environment; each tool of its gets a stated one.
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C is for who waits for it, and a deadline for all that it started.
        process_group=0,
    )
    _RUNNING.add(process)
    try:
        output, errors = process.communicate(msgspec.json.encode(unit), timeout=unit.deadline)
    except subprocess.TimeoutExpired:
        text = f"It was not done within its deadline of {unit.deadline / 60:g} minutes."
        return result(unit, started, time.time(), own_trouble=[text], retried=retried)
    finally:
        _RUNNING.discard(process)
        _end(process)
    if process.returncode == 0:
        done = msgspec.json.decode(output, type=Done)
        return msgspec.structs.replace(done, retried=[*retried, *done.retried])
    words = errors.decode(errors="replace").strip()[-LAST_WORDS:]
    return f"Its process ended with status {process.returncode}. {words}".strip()


def stop() -> None:
    """End all that are at work in this process, for good."""
    _STOPPING.set()
    for process in list(_RUNNING):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def main() -> None:
    from harness.nightly.perform import perform

    unit = msgspec.json.decode(sys.stdin.buffer.read(), type=Unit)
    sys.stdout.buffer.write(msgspec.json.encode(perform(unit)))


if __name__ == "__main__":
    main()
