# SPDX-License-Identifier: GPL-2.0-only
"""
What a jprobe's hit costs, in instructions.

A function of nine words is called many times without and with a jprobe, and the
guest's counter is read before and after.  On a machine whose time is what it has run,
one nanosecond an instruction, the counter counts instructions; a loop of known length
tells whether it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.policy import Hit, Policy, save

NANO = 1e-9
# Ticks by which a measured time may be off: one at each end.
BLUR = 2


@dataclass(frozen=True)
class CostRecord:
    """One record of the guest's."""

    # Position in the plan, from 1.
    seq: int
    # The plan's line, as the guest read it.
    line: str
    # Of the last hit.
    hit: Hit
    hits: int
    # Runs of the handler, and of the probed function.
    handler: int
    target: int
    # Ticks that all calls took without the jprobe, and with it.
    bare: int
    probed: int
    # Ticks in a second.
    frequency: int
    # Of the loop of known length, and the ticks that it took.
    instructions: int
    ticks: int
    # Taint flags that the kernel gained meanwhile.
    new_taint: int

    @property
    def counts_instructions(self) -> bool:
        """The guest's time is what it has run."""
        expected = self.instructions * NANO * self.frequency
        return abs(self.ticks - expected) <= BLUR

    @property
    def per_hit(self) -> float:
        """Instructions that the jprobe adds to a call."""
        return (self.probed - self.bare) / (NANO * self.frequency) / self.target


def judge(policy: Policy, cost: CostRecord, calls: int) -> tuple[str, ...]:
    """What is not as it must be after so many calls, in sentences."""
    return tuple(_mismatches(policy, cost, calls))


def _mismatches(policy: Policy, cost: CostRecord, calls: int) -> Iterator[str]:
    handler = 0 if save(policy, cost.hit) is None else calls
    planned = {"hits": calls, "handler": handler, "target": calls}
    for name, expected in planned.items():
        if (found := getattr(cost, name)) != expected:
            yield f"{name}: {found} in {calls} calls, predicted {expected}"
    if cost.new_taint:
        yield f"the kernel gained taint {cost.new_taint:#x}"
