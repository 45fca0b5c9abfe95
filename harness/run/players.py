# SPDX-License-Identifier: GPL-2.0-only
"""
Processes that play parts of a plan at the same time, each in a guest of its own.

As a program, it plays what comes on standard input, and writes what comes of it to standard
output.  Both ends are this program's own, so that what passes between them is pickled.
"""

from __future__ import annotations

import os
import pickle
import selectors
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from struct import Struct
from typing import IO, Any

from harness.errors import HarnessError, InfrastructureError
from harness.guest.deadlines import Deadlines
from harness.host import stopping, temporary, tool
from harness.host.deadline import Deadline
from harness.kernel.kernel import Bootable
from harness.modules.build import Modules
from harness.run import boot
from harness.run.plan import Play
from harness.run.result import ENDED, Result, ended_run, together
from harness.steps import Listener, listening, progress
from harness.vm.machine import Config

# Fewer plays than these are played sooner than another process starts.
LEAST = 100
# How long a player may take to say what it has judged, once it is to stop.
STOP_SECONDS = 30
# What a guest and its player take.
_MIB = 400
_SIZE = Struct("<Q")


@dataclass(frozen=True)
class Part:
    """A part of a plan, and what it is played with."""

    kernel: Bootable
    modules: Modules
    plays: Sequence[Play]
    config: Config
    deadlines: Deadlines
    # Whether the guest is kept for another part.
    more: bool


def usual() -> int:
    """Return how many players there can be without one waiting for another."""
    with open("/proc/meminfo") as file:
        (kib,) = (int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
    return max(1, min(len(os.sched_getaffinity(0)) // 2, kib // 1024 // _MIB))


def _write(stream: IO[bytes], what: object) -> None:
    data = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
    left = memoryview(_SIZE.pack(len(data)) + data)
    while left:
        left = left[stream.write(left) :]
    stream.flush()


def _read(stream: IO[bytes]) -> Any:
    """Return what the other end has written; raises EOFError where it has ended."""
    (size,) = _SIZE.unpack(_exactly(stream, _SIZE.size))
    return pickle.loads(_exactly(stream, size))  # noqa: S301


def _exactly(stream: IO[bytes], size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Players:
    """As many processes as parts are played at once."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self._processes = processes

    def run(self, part: Part) -> Result:
        """Play a plan in parts; raises as repro.run()."""
        count = min(len(self._processes), -(-len(part.plays) // LEAST))
        size = -(-len(part.plays) // count)
        parts = [part.plays[at : at + size] for at in range(0, len(part.plays), size)]
        with selectors.DefaultSelector() as ready:
            for number, (process, plays) in enumerate(zip(self._processes, parts)):
                assert process.stdin and process.stdout
                _write(process.stdin, replace(part, plays=plays))
                ready.register(process.stdout, selectors.EVENT_READ, number)
            results: dict[int, Result] = {}
            try:
                self._collect(ready, results, part)
            except KeyboardInterrupt as error:
                raise self._stopped(ready, results, part, error) from error
        return self._merged(results, part)

    def _collect(
        self,
        ready: selectors.BaseSelector,
        results: dict[int, Result],
        part: Part,
        seconds: float | None = None,
    ) -> None:
        """Take what the players say until each has its result; raises what ended one of them."""
        done: dict[int, float] = {}
        deadline = Deadline(seconds) if seconds else None
        while ready.get_map():
            came = ready.select(deadline.left if deadline else None)
            if deadline and deadline.passed:
                return
            for key, _ in came:
                said = self._said(key.data)
                if isinstance(said, float):
                    done[key.data] = said
                    progress(f"playing on {part.kernel.spec}", sum(done.values()), len(part.plays))
                    continue
                ready.unregister(key.fileobj)
                if isinstance(said, Result):
                    results[key.data] = said
                elif isinstance(said, BaseException):
                    raise said

    def _said(self, number: int) -> Any:
        process = self._processes[number]
        assert process.stdout
        try:
            return _read(process.stdout)
        except EOFError as error:
            status = process.wait()
            raise InfrastructureError(
                f"A process that plays ended with status {status}.", "Run again, with -j 1."
            ) from error

    def _stopped(
        self,
        ready: selectors.BaseSelector,
        results: dict[int, Result],
        part: Part,
        by: BaseException,
    ) -> BaseException:
        """End the players; return the error with what they have judged."""
        for process in self._processes:
            process.terminate()
        with suppress(HarnessError):
            self._collect(ready, results, part, STOP_SECONDS)
        return ended_run(by, self._merged(results, part)) if results else by

    @staticmethod
    def _merged(results: dict[int, Result], part: Part) -> Result:
        """Return one result of all parts, in the plan's order."""
        parts = [results[number] for number in sorted(results)]
        outcomes = tuple(outcome for one in parts for outcome in one.outcomes)
        account = vars(together(parts))
        return replace(parts[0], outcomes=outcomes, planned=len(part.plays), **account)


PLAYERS: ContextVar[Players | None] = ContextVar("players", default=None)


@contextmanager
def playing(jobs: int) -> Iterator[None]:
    """Have plans played by so many processes; 1: by this one."""
    if jobs == 1:
        yield
        return
    # It gets a signal, so that it leaves nothing behind.
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", __name__]
    with ExitStack() as resources:
        processes: list[subprocess.Popen[bytes]] = []
        resources.callback(_end, processes)
        for _ in range(jobs):
            with stopping.held():
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    # What were read ahead would not be waited for.
                    bufsize=0,
                    # Ctrl-C is meant for the process that knows of all.
                    process_group=0,
                )
                processes.append(process)
        before = PLAYERS.set(Players(processes))
        resources.callback(PLAYERS.reset, before)
        yield


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        assert process.stdin and process.stdout
        # What was written and not taken is lost with the process.
        with suppress(BrokenPipeError):
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(tool.GRACE_SECONDS)
    tool.end(list(processes))
    for process in processes:
        assert process.stdout
        process.stdout.close()


class _Reports(Listener):
    """Tells the other end how far this one is."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._reported = 0.0

    def progress(self, what: str, done: float, total: float) -> None:
        # Each report takes as long as a play.
        if done - self._reported >= LEAST or done < self._reported:
            self._reported = done
            _write(self._stream, float(done))


def _serve(given: IO[bytes], output: IO[bytes]) -> None:
    """Play parts until there are no more."""
    from harness.run import repro

    with boot.keeping() as kept, listening(_Reports(output)):
        while True:
            try:
                part: Part = _read(given)
            except EOFError:
                return
            kept.more = part.more
            try:
                played: object = repro.run(
                    part.kernel,
                    part.modules,
                    part.plays,
                    config=part.config,
                    deadlines=part.deadlines,
                )
            except ENDED as error:
                played = error.result
            except HarnessError as error:
                played = error
            _write(output, played)


def main() -> None:
    output = os.fdopen(os.dup(1), "wb")
    # Nothing else may be written there.
    os.dup2(2, 1)
    try:
        with stopping.obeyed():
            try:
                _serve(sys.stdin.buffer, output)
            finally:
                with stopping.held():
                    tool.end_all()
                    temporary.clear()
    except KeyboardInterrupt:
        sys.exit(1)


if __name__ == "__main__":
    main()
