# SPDX-License-Identifier: GPL-2.0-only
"""
What a jprobe's hit costs, in instructions.

A function of nine words is called many times without and with a jprobe, and the
guest's counter is read before and after.  On a machine that advances its clock by one
nanosecond for each instruction, the counter counts instructions; a loop of known length
shows whether it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.policy import Hit, Policy, Save, save

NANO = 1e-9
# A measured time may be off by this many ticks: one at each end.
BLUR = 2
# Bytes of the ninth word, which lies at SP (rule C.16).
STACKED = 8


@dataclass(frozen=True)
class CostRecord:
    """The guest's record of one cost measurement."""

    # Position in the plan, from 1.
    seq: int
    # The plan's line, as the guest read it.
    line: str
    # The stack at the last hit.
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
    # Instructions in the loop of known length, and the ticks that it took.
    instructions: int
    ticks: int
    # Taint flags that the kernel gained during the measurement.
    new_taint: int

    @property
    def counts_instructions(self) -> bool:
        """Whether the guest's clock advances by one nanosecond for each instruction."""
        expected = self.instructions * NANO * self.frequency
        return abs(self.ticks - expected) <= BLUR

    @property
    def per_hit(self) -> float:
        """Instructions that the jprobe adds to a call."""
        return (self.probed - self.bare) / (NANO * self.frequency) / self.target


def saved(policy: Policy, hit: Hit) -> Save | None:
    """Return what `policy` saves of the function, or None where it skips the handler."""
    return save(policy, hit, [(hit.sp, hit.sp + STACKED)])


def judge(policy: Policy, cost: CostRecord, calls: int) -> tuple[str, ...]:
    """Return, in sentences, what differs from the prediction after `calls` calls."""
    return tuple(_mismatches(policy, cost, calls))


def _mismatches(policy: Policy, cost: CostRecord, calls: int) -> Iterator[str]:
    handler = 0 if saved(policy, cost.hit) is None else calls
    planned = {"hits": calls, "handler": handler, "target": calls}
    for name, expected in planned.items():
        if (found := getattr(cost, name)) != expected:
            yield f"{name}: {found} in {calls} calls, predicted {expected}"
    if cost.new_taint:
        yield f"the kernel gained taint {cost.new_taint:#x}"
