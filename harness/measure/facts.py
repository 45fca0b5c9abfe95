# SPDX-License-Identifier: GPL-2.0-only
"""Where a compiler laid out a call, as it was measured at the hit."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.case import Case
from harness.model.observation import Observation
from harness.model.policy import Hit


@dataclass(frozen=True)
class CopyPlace:
    """A by-reference argument's copy (rule B.4); distances in bytes, of its first one."""

    argument: int
    size: int
    from_sp: int
    from_fp: int

    def within(self, size: int) -> bool:
        """Whether it lies within so many bytes from SP."""
        return self.from_sp >= 0 and self.from_sp + self.size <= size


@dataclass(frozen=True)
class FrameLayout:
    """The frame of a probed function's caller."""

    hit: Hit
    # Bytes of stacked arguments, from SP.
    area: int
    copies: tuple[CopyPlace, ...]

    @property
    def fp_minus_sp(self) -> int:
        return self.hit.fp - self.hit.sp

    def covers(self, copy: CopyPlace) -> bool:
        """Whether the copy lies between SP and FP."""
        return copy.from_sp >= 0 and copy.from_fp + copy.size <= 0


def measured(case: Case, observation: Observation) -> FrameLayout:
    """The facts of a play; a copy that nobody looked at is left out."""
    hit = observation.hit
    addresses = {index: look.at for index, look in observation.arguments.items() if look.at}
    copies = [
        CopyPlace(
            argument=index,
            size=case.arguments[index].type.size,
            from_sp=addresses[index] - hit.sp,
            from_fp=addresses[index] - hit.fp,
        )
        for index, placement in enumerate(case.layout.placements)
        if placement.by_reference and index in addresses
    ]
    return FrameLayout(hit, case.layout.stack_size, tuple(copies))
