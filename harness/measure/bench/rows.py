# SPDX-License-Identifier: GPL-2.0-only
"""
What is measured, each with its target.

A further row is one line of ROWS, and of WORKS if it needs a command that no other row has.
It need not be beside the bare boot.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

# The kernel boots, and powers off at once.
BARE = "bare"
# A kernel dies, and the rest of the plan is played.
PANIC = "panic"
# How many signatures the works named fuzz play, and how many --growth goes up to, which has to be
# enough for a slope that is not noise.
FUZZ = 10_000
FUZZ_SHORT = 2_000
GROWTH = 100_000
GROWTH_LEAST = 1_000


@dataclass(frozen=True)
class Work:
    """One thing that is timed from its start to its end."""

    name: str
    # The command's words after jprobe-harness; none for what this process does itself.
    words: tuple[str, ...] = ()
    # How many verdicts it comes to, where it is about their rate.
    verdicts: int = 0
    # Whether it plays functions of the kernel's own, which not every kernel has.
    real: bool = False


class Quantity(enum.Enum):
    """What a row says of its work."""

    # Its time divided by that of another work in the same round.
    TIME = "time"
    # Seconds from the command's start to QEMU's, and from QEMU's end to the command's.
    BEFORE = "before"
    AFTER = "after"
    # Verdicts a second.
    RATE = "rate"
    # The most memory of the command's own process, and the same divided by another work's.
    MEMORY = "memory"
    GROWTH = "growth"

    @property
    def timed(self) -> bool:
        """Whether it is measured in each round, and not in a run of its own."""
        return self not in (Quantity.MEMORY, Quantity.GROWTH)


_UNITS = {Quantity.BEFORE: "s", Quantity.AFTER: "s", Quantity.RATE: "/s", Quantity.MEMORY: "MiB"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    # As --row has it.
    name: str
    shows: str
    # The name of its work, and of the one that it is divided by.
    work: str
    quantity: Quantity
    # None for what others are measured by.
    target: float | None
    beside: str = BARE

    @property
    def at_least(self) -> bool:
        """Whether more is better."""
        return self.quantity is Quantity.RATE

    @property
    def unit(self) -> str:
        return _UNITS.get(self.quantity, f"x {self.beside}")


ONE_CELL = ("repro", "--case", "stack-9", "--variant", "none")
REAL = "real-*"
OWN_CELLS = ("repro", "--case", f"!{REAL}")
REAL_CELLS = ("repro", "--case", REAL)
WORKS = {
    work.name: work
    for work in (
        Work(BARE),
        Work("repro-cold", (*OWN_CELLS, "--cold")),
        Work("repro", OWN_CELLS),
        Work("real-cold", (*REAL_CELLS, "--cold"), real=True),
        Work("real", REAL_CELLS, real=True),
        Work("one-cell", ONE_CELL),
        Work(PANIC),
        Work("fuzz", ("fuzz", "-j1", "--count", str(FUZZ)), verdicts=FUZZ),
        Work("fuzz-short", ("fuzz", "-j1", "--count", str(FUZZ_SHORT))),
        Work("fuzz-two", ("fuzz", "-j2", "--count", str(FUZZ))),
    )
}
ROWS = (
    Row("bare", "a boot that powers off", BARE, Quantity.TIME, None),
    Row("repro-cold", "all own cells, from a boot", "repro-cold", Quantity.TIME, 1.25),
    Row("repro", "all own cells, from a snapshot", "repro", Quantity.TIME, 0.4),
    Row("real-cold", "all real cells, from a boot", "real-cold", Quantity.TIME, 1.5),
    Row("real", "all real cells, from a snapshot", "real", Quantity.TIME, 0.5),
    Row("one-cell", "one cell, command to prompt", "one-cell", Quantity.TIME, 0.25),
    Row("start", "command to QEMU's start", "one-cell", Quantity.BEFORE, 0.1),
    Row("end", "QEMU's end to prompt", "one-cell", Quantity.AFTER, 0.05),
    Row("panic", "a panic to the next verdict", PANIC, Quantity.TIME, 0.2),
    Row("fuzz", f"{FUZZ:,} random signatures", "fuzz", Quantity.RATE, 2500),
    Row("two-guests", "the same, in two guests", "fuzz-two", Quantity.TIME, 1, beside="fuzz"),
    Row("memory-repro", "the command's own, all own cells", "repro", Quantity.MEMORY, 150),
    Row("memory-fuzz", f"the same, {FUZZ:,} signatures", "fuzz", Quantity.MEMORY, 150),
    Row(
        "memory-growth",
        f"the same, to {FUZZ_SHORT:,} signatures",
        "fuzz",
        Quantity.GROWTH,
        1.1,
        beside="fuzz-short",
    ),
)
