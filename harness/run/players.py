# SPDX-License-Identifier: GPL-2.0-only
"""
Processes that play parts of a plan at the same time, each in a guest of its own.

As a program, it plays what comes on the connection whose descriptor it is given, and sends
what comes of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, InfrastructureError
from harness.guest.deadlines import Deadlines
from harness.host import stopping, temporary, tool
from harness.host.deadline import Deadline
from harness.kernel.kernel import Bootable
from harness.modules.build import Modules
from harness.run import boot
from harness.run.plan import Play
from harness.run.result import Broken, Cut, Interrupted, Result, ended_run, together
from harness.steps import Listener, listening, progress
from harness.vm.machine import Config

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

# Fewer plays than these are played sooner than another process starts.
LEAST = 100
# How long a player may take to say what it has judged, once it is to stop.
STOP_SECONDS = 30
# How many plans a player has: the one that it plays, and the next.
AHEAD = 2
# What a guest and its player take.
_MIB = 400


def _all(result: Result) -> Result:
    return result


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
    # Makes of a result what is sent back of it.
    keep: Callable[[Result], Any] = _all


def usual() -> int:
    """Return how many players there can be without one waiting for another."""
    with open("/proc/meminfo") as file:
        (kib,) = (int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
    return max(1, min(len(os.sched_getaffinity(0)) // 2, kib // 1024 // _MIB))


@dataclass(frozen=True)
class _Player:
    """One process, and this end of the connection to it."""

    process: subprocess.Popen[bytes]
    connection: Connection

    def said(self) -> Any:
        """Return what it sends; raises InfrastructureError where it has ended."""
        try:
            # A message that is read in part leaves the next one without a beginning.
            with stopping.held():
                return self.connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._ended() from error

    def play(self, part: Part) -> None:
        """Send it a part; raises as said()."""
        try:
            self.connection.send(part)
        except BrokenPipeError as error:
            raise self._ended() from error

    def _ended(self) -> InfrastructureError:
        status = self.process.wait()
        return InfrastructureError(
            f"A process that plays ended with status {status}.", "Run again, with -j 1."
        )


class _Task:
    """What one player plays of a plan: every so many batches, in turn."""

    def __init__(self, player: _Player, batches: Sequence[int]) -> None:
        self.player = player
        self._left = deque(batches)
        # The batches that it has and has not ended.
        self.has: deque[int] = deque()

    def feed(self, part: Part, size: int) -> None:
        """Have it know what comes next before it has played what it has."""
        while self._left and len(self.has) < AHEAD:
            first = self._left.popleft()
            self.has.append(first)
            more = bool(self._left) or part.more
            plays = part.plays[first : first + size]
            self.player.play(replace(part, plays=plays, more=more))


class Players:
    """As many processes as batches of a plan are played at once."""

    def __init__(self, players: Sequence[_Player]) -> None:
        self._players = players

    def __len__(self) -> int:
        return len(self._players)

    def run(self, part: Part) -> Result:
        """Play a plan; raises as repro.run(), and InfrastructureError."""
        count = min(len(self._players), -(-len(part.plays) // LEAST))
        results: list[Result] = []
        try:
            results.extend(self.each(part, -(-len(part.plays) // count)))
        except Cut as cut:
            results.extend(cut.kept)
            by = cut.__cause__
            assert by
            if not results:
                raise by from None
            raise ended_run(by, self._merged(results, part)) from by
        return self._merged(results, part)

    def each(self, part: Part, size: int) -> Iterator[Any]:
        """
        Play a plan in batches of `size`; yield in its order what is kept of each.

        Raises as repro.run_each(), and InfrastructureError.
        """
        firsts = range(0, len(part.plays), size)
        count = len(self._players)
        tasks = [_Task(player, firsts[at::count]) for at, player in enumerate(self._players)]
        came: dict[int, Any] = {}
        done: dict[int, float] = {}
        try:
            for first in firsts:
                while first not in came:
                    for task in tasks:
                        task.feed(part, size)
                    for batch, said in self._heard(tasks):
                        if isinstance(said, float):
                            done[batch] = said
                        else:
                            came[batch] = said
                            done[batch] = min(size, len(part.plays) - batch)
                    what = f"playing on {part.kernel.spec}"
                    progress(what, sum(done.values()), len(part.plays))
                yield came.pop(first)
        except KeyboardInterrupt as error:
            self._stop()
            deadline = Deadline(STOP_SECONDS)
            while any(task.has for task in tasks) and not deadline.passed:
                try:
                    for batch, said in self._heard(tasks, deadline):
                        if not isinstance(said, float):
                            came[batch] = said
                except HarnessError:
                    # One that had not begun says nothing; the others may yet.
                    for task in tasks:
                        if task.player.process.poll() is not None:
                            task.has.clear()
            raise Cut([came[first] for first in sorted(came)]) from error
        finally:
            if any(task.has for task in tasks):
                # Nobody wants to hear what they say of it.
                self._stop()
                self._players = ()

    @staticmethod
    def _heard(
        tasks: Sequence[_Task], deadline: Deadline | None = None
    ) -> Iterator[tuple[int, Any]]:
        """Yield what players say next, with the batch that it is of; raises what ended one."""
        from multiprocessing.connection import wait

        busy = [task for task in tasks if task.has]
        ready = wait([task.player.connection for task in busy], deadline.left if deadline else None)
        for task in busy:
            if task.player.connection not in ready:
                continue
            said = task.player.said()
            batch = task.has[0] if isinstance(said, float) else task.has.popleft()
            if isinstance(said, BaseException):
                raise said
            yield batch, said

    def _stop(self) -> None:
        for player in self._players:
            player.process.terminate()

    @staticmethod
    def _merged(parts: Sequence[Result], part: Part) -> Result:
        """Return one result of all parts."""
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
    from multiprocessing import Pipe

    # It gets a signal, so that it leaves nothing behind.
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", __name__]
    with ExitStack() as resources:
        players: list[_Player] = []
        resources.callback(_end, players)
        for _ in range(jobs):
            ours, theirs = Pipe()
            with theirs, stopping.held():
                process = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    # Only this process reports.
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    # Ctrl-C is meant for the process that knows of all.
                    process_group=0,
                )
                players.append(_Player(process, ours))
        before = PLAYERS.set(Players(players))
        resources.callback(PLAYERS.reset, before)
        yield


def _end(players: Sequence[_Player]) -> None:
    for player in players:
        player.connection.close()
    for player in players:
        with suppress(subprocess.TimeoutExpired):
            player.process.wait(tool.GRACE_SECONDS)
    tool.end([player.process for player in players])


class _Reports(Listener):
    """Tells the other end how far this one is."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reported = 0.0

    def progress(self, what: str, done: float, total: float) -> None:
        # Each report takes as long as a play.
        if done - self._reported >= LEAST or done < self._reported:
            self._reported = done
            self._connection.send(float(done))


def _serve(connection: Connection) -> None:
    """Play parts until there are no more."""
    from harness.run import repro

    with boot.keeping() as kept, listening(_Reports(connection)):
        while True:
            try:
                part: Part = connection.recv()
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
            except Interrupted as error:
                # The other end may have gone.
                with suppress(BrokenPipeError):
                    connection.send(part.keep(error.result))
                return
            except Broken as error:
                played = error.result
            except HarnessError as error:
                played = error
            connection.send(part.keep(played) if isinstance(played, Result) else played)


def main() -> None:
    from multiprocessing.connection import Connection

    try:
        with stopping.obeyed():
            try:
                _serve(Connection(int(sys.argv[1])))
            finally:
                with stopping.held():
                    tool.end_all()
                    temporary.clear()
    except KeyboardInterrupt:
        sys.exit(1)


if __name__ == "__main__":
    main()
