# SPDX-License-Identifier: GPL-2.0-only
"""
Rounds of works, one after the other.

Absolute times on a shared machine are noise; the ratio of two runs in one round is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.measure.bench.command import Timed
from harness.measure.bench.processes import Memory
from harness.measure.bench.rows import BARE, Quantity, Row
from harness.measure.bench.spread import Spread, spread
from harness.steps import progress

MIB = 1 << 20
# The works of a round, in the order in which they ran.
Round = Mapping[str, Timed]


@dataclass(frozen=True)
class Taker:
    """How a work is measured; each call does the work once."""

    time: Callable[[], Timed]
    # None for what is not a command.
    memory: Callable[[], Memory] | None = None
    verdicts: int = 0


NONE: Mapping[str, Taker] = {}


@dataclass(frozen=True)
class Measured:
    """What was measured for a row."""

    row: Row
    # Of each round, in the row's unit.
    values: tuple[float, ...]
    # Of its work in the same rounds, in seconds; none for memory.
    seconds: tuple[float, ...]

    @property
    def value(self) -> Spread:
        return spread(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median is at the row's target or better; None without a target."""
        found, target = self.value.median, self.row.target
        if target is None:
            return None
        return found >= target if self.row.at_least else found <= target


@dataclass(frozen=True)
class Measurement:
    """All that was measured."""

    rounds: tuple[Round, ...]
    rows: tuple[Measured, ...]
    # The most memory of each command, in a run of its own.
    memory: Mapping[str, Memory]


def measure(
    rows: Sequence[Row], takers: Mapping[str, Taker], runs: int, peers: Mapping[str, Taker] = NONE
) -> Measurement:
    """
    Time the works of `rows` and some peers in `runs` rounds, and look at the memory of each work.

    A round that is not measured fills the caches first.  All have a bare boot in them.
    """
    names = {name for row in rows for name in (row.work, row.beside) if row.quantity.timed}
    timed = {name: one for name, one in takers.items() if name in names | {BARE}} | {**peers}
    looked_at = {name: look for name, one in takers.items() if (look := one.memory)}
    total, done = (runs + 1) * len(timed) + len(looked_at), 0

    def step() -> None:
        nonlocal done
        progress("measuring", done, total)
        done += 1

    rounds: list[Round] = []
    for _ in range(runs + 1):
        times = {}
        for name, taker in timed.items():
            step()
            times[name] = taker.time()
        rounds.append(times)
    rounds = rounds[1:]
    memory = {}
    for name, look in looked_at.items():
        step()
        memory[name] = look()
    measured = tuple(_measured(row, takers, rounds, memory) for row in rows)
    return Measurement(tuple(rounds), measured, memory)


def _measured(
    row: Row, takers: Mapping[str, Taker], rounds: Sequence[Round], memory: Mapping[str, Memory]
) -> Measured:
    if not row.quantity.timed:
        own = memory[row.work].own
        divisor = MIB if row.quantity is Quantity.MEMORY else memory[row.beside].own
        return Measured(row, (own / divisor,), ())
    values = tuple(_value(row, takers[row.work].verdicts, one) for one in rounds)
    return Measured(row, values, tuple(one[row.work].seconds for one in rounds))


def _value(row: Row, verdicts: int, times: Round) -> float:
    timed = times[row.work]
    if row.quantity is Quantity.RATE:
        return verdicts / timed.seconds
    if row.quantity is Quantity.TIME:
        return timed.seconds / times[row.beside].seconds
    value = timed.before if row.quantity is Quantity.BEFORE else timed.after
    assert value is not None, f"{row.work} starts no QEMU"
    return value
