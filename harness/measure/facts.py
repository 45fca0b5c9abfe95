# SPDX-License-Identifier: GPL-2.0-only
"""How a compiler laid out a call, as measured at the hit."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.case import Case
from harness.model.observation import Observation
from harness.model.policy import Hit


@dataclass(frozen=True)
class CopyPlace:
    """A by-reference argument's copy (rule B.4); distances are of its first byte, in bytes."""

    argument: int
    size: int
    from_sp: int
    from_fp: int

    def within(self, size: int) -> bool:
        """Return whether the copy lies within `size` bytes from SP."""
        return self.from_sp >= 0 and self.from_sp + self.size <= size


@dataclass(frozen=True)
class FrameLayout:
    """The frame of a probed function's caller."""

    hit: Hit
    # How many bytes of stacked arguments there are, from SP.
    area: int
    copies: tuple[CopyPlace, ...]

    @property
    def fp_minus_sp(self) -> int:
        return self.hit.fp - self.hit.sp

    def covers(self, copy: CopyPlace) -> bool:
        """Return whether the copy lies between SP and FP."""
        return copy.from_sp >= 0 and copy.from_fp + copy.size <= 0


def measured(case: Case, observation: Observation) -> FrameLayout:
    """Return the frame layout of a play; a copy that was not recorded is left out."""
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
