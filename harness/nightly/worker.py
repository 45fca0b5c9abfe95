# SPDX-License-Identifier: GPL-2.0-only
"""
Runs each unit in a process of its own, so that a crash of one ends no other.

As a program, it reads a unit from standard input and writes its result to standard output.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar

import msgspec

from harness.host import stopping, temporary, tool
from harness.host.deadline import Deadline
from harness.nightly.unit import Done, Unit, result

_RUNNING: set[subprocess.Popen[bytes]] = set()
_STOPPING = threading.Event()

# How often a unit is retried after its process failed.
RETRIES = 1
LAST_WORDS = 300
# How often to check whether the unit's result is still wanted.
LOOK_SECONDS = 1.0
# Asks that; a cluster's worker has no other way to know that the nightly run was ended.
WANTED: ContextVar[Callable[[], bool]] = ContextVar("wanted", default=lambda: True)


def work(unit: Unit) -> Done:
    """Run a unit in a process of its own, which ends with this one, or at its deadline."""
    retried: list[str] = []
    while True:
        done = _try(unit, retried)
        if isinstance(done, Done):
            return done
        if len(retried) == RETRIES or _STOPPING.is_set() or not WANTED.get()():
            now = time.time()
            return result(unit, now, now, harness_errors=[done], retried=retried)
        retried.append(done)


def _try(unit: Unit, retried: list[str]) -> Done | str:
    """Return the unit's result, or a sentence on how its process failed."""
    started = time.time()
    # The child is this program, so it inherits the environment; its tools get a fixed one.
    process = subprocess.Popen(
        # It gets a signal, so that it leaves nothing behind.
        ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Keep Ctrl-C from it, and let a deadline end all processes that it started.
        process_group=0,
    )
    _RUNNING.add(process)
    try:
        output, errors = _communicate(process, unit)
    except subprocess.TimeoutExpired:
        text = f"It was not done within its deadline of {unit.deadline / 60:g} minutes."
        return result(unit, started, time.time(), harness_errors=[text], retried=retried)
    finally:
        _RUNNING.discard(process)
        _end(process)
    if process.returncode == 0:
        done = msgspec.json.decode(output, type=Done)
        return msgspec.structs.replace(done, retried=[*retried, *done.retried])
    words = errors.decode(errors="replace").strip()[-LAST_WORDS:]
    return f"Its process ended with status {process.returncode}. {words}".strip()


def _communicate(process: subprocess.Popen[bytes], unit: Unit) -> tuple[bytes, bytes]:
    """Its outputs; raises TimeoutExpired at the unit's deadline, or once nobody wants it."""
    deadline = Deadline(unit.deadline)
    data: bytes | None = msgspec.json.encode(unit)
    while True:
        left = deadline.left
        try:
            return process.communicate(data, timeout=min(left, LOOK_SECONDS))
        except subprocess.TimeoutExpired:
            # The input has been passed to communicate(), which keeps it.
            data = None
            if left <= LOOK_SECONDS or not WANTED.get()():
                raise


def stop() -> None:
    """End all processes that this one has started, and prevent retries."""
    _STOPPING.set()
    tool.end(list(_RUNNING))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        tool.end([process])
        process.communicate()


def main() -> None:
    from harness.nightly.unit_runner import perform

    unit = msgspec.json.decode(sys.stdin.buffer.read(), type=Unit)
    try:
        with stopping.obeyed():
            try:
                done = perform(unit)
            finally:
                with stopping.held():
                    tool.end_all()
                    temporary.clear()
    except KeyboardInterrupt:
        sys.exit(stopping.how())
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    main()
