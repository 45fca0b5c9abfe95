# SPDX-License-Identifier: GPL-2.0-only
"""
A function's descriptor: the bytes in memory that its prototype says belong to its arguments.

It is what the host gives the guest for the policy `signature`.  Predictions do not use it: a
wrong descriptor has to show.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.abi.aapcs64 import Placement, place
from harness.abi.ctype import POINTER, CType


class Base(enum.Enum):
    """How a part is found at the function's entry; the values are those of a case as data."""

    # At SP + number.
    AT_SP = "s"
    # Where x[number] points (rule B.4).
    BY_REGISTER = "*x"
    # Where the word at SP + number points.
    BY_SLOT = "*s"


@dataclass(frozen=True)
class Part:
    """Consecutive bytes that belong to arguments."""

    base: Base
    # A register's number, or an offset from SP in bytes.
    number: int
    # In bytes.
    size: int

    def __str__(self) -> str:
        return f"{self.base.value}{self.number}:{self.size}"


def descriptor(named: Sequence[CType]) -> tuple[Part, ...]:
    """
    Return the parts of a function with these named arguments.

    A stacked argument has as many bytes as its type: what fills its slot up belongs to no
    argument.  Slots come first, and what they point at behind them.  What lies behind a
    pointer, or is variadic, no prototype tells.
    """
    stacked: list[Part] = []
    pointed: list[Part] = []
    for type_, placement in zip(named, place(named).placements):
        size = type_.size
        if placement.by_reference:
            pointed.append(_pointed(placement, size))
            size = POINTER.size
        if placement.stack is None or not size:
            continue
        if stacked and stacked[-1].number + stacked[-1].size == placement.stack:
            stacked[-1] = replace(stacked[-1], size=stacked[-1].size + size)
        else:
            stacked.append(Part(Base.AT_SP, placement.stack, size))
    return (*stacked, *pointed)


def _pointed(placement: Placement, size: int) -> Part:
    if placement.stack is None:
        return Part(Base.BY_REGISTER, placement.general[0], size)
    return Part(Base.BY_SLOT, placement.stack, size)
