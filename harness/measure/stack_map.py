# SPDX-License-Identifier: GPL-2.0-only
"""What lies on the caller's stack at a hit, and which of it is corrupt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.abi.offsets import Offsets, ranges
from harness.model.case import Case
from harness.model.policy import Hit
from harness.model.predict import MeasuredFrame

WORD, FRAME_RECORD = 8, 16


@dataclass(frozen=True)
class Part:
    """Something on the stack; offsets in bytes from SP."""

    start: int
    end: int
    label: str


def parts(case: Case, hit: Hit, places: MeasuredFrame) -> Iterator[Part]:
    """What lies at and above SP, as far as it matters to the case."""
    for index, (argument, placement) in enumerate(zip(case.arguments, case.layout.placements)):
        if placement.stack is not None:
            size = WORD if placement.by_reference else argument.type.size
            yield Part(placement.stack, placement.stack + size, f"argument {index}")
        if placement.by_reference:
            start = places.pointees[index] - hit.sp
            yield Part(start, start + argument.type.size, f"copy of {index}")
    if hit.sp <= hit.fp < hit.top:
        yield Part(hit.fp - hit.sp, hit.fp - hit.sp + FRAME_RECORD, "x29, x30")
    if case.object and case.object.argument is None:
        start = places.object - hit.sp
        yield Part(start, start + case.object.size, "an object")


def damaged(
    case: Case, hit: Hit, places: MeasuredFrame, corrupt: Mapping[int, Offsets], lost: Offsets
) -> Iterator[tuple[int, int]]:
    """
    Ranges of bytes, from SP, that the probed function or the caller finds wrong.

    `corrupt` and `lost` are a prediction's, or what was seen.
    """
    for index, offsets in corrupt.items():
        placement = case.layout.placements[index]
        base = placement.stack or 0
        if placement.by_reference:
            base = places.pointees[index] - hit.sp
        yield from ((base + start, base + end) for start, end in ranges(offsets))
    base = places.object - hit.sp
    yield from ((base + start, base + end) for start, end in ranges(lost))
