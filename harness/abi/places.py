# SPDX-License-Identifier: GPL-2.0-only
"""Where each member of an argument lies at the entry of a function, to the bit."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from harness.abi.aapcs64 import Placement
from harness.abi.ctype import Array, Composite, CType, Scalar

OCTET, WORD = 8, 64


class Base(enum.Enum):
    """What a piece is found from at the entry."""

    # x[number].
    REGISTER = "register"
    # v[number].
    VECTOR = "vector"
    # SP; the number is 0.
    STACK = "stack"
    # What x[number] points at (rule B.4).
    BY_REGISTER = "by register"
    # What the word at SP + number points at, the number being in bytes.
    BY_SLOT = "by slot"


@dataclass(frozen=True)
class Piece:
    """Bits of a value that lie together."""

    base: Base
    number: int
    # In bits: from the register's least significant one, or from the address.
    start: int
    width: int


@dataclass(frozen=True)
class Leaf:
    """A scalar in an argument, or the argument itself."""

    # What follows the argument's name in C, such as ".m0[1]"; empty for the argument itself.
    path: str
    type: Scalar
    # In bits, from the argument's start.
    start: int
    width: int


def leaves(type_: CType, path: str = "", start: int = 0) -> Iterator[Leaf]:
    """Yield the scalars in a type, those of each array element and union member too."""
    if isinstance(type_, Scalar):
        yield Leaf(path, type_, start, OCTET * type_.size)
    elif isinstance(type_, Array):
        for index in range(type_.count):
            step = OCTET * type_.element.size * index
            yield from leaves(type_.element, f"{path}[{index}]", start + step)
    else:
        for member in type_.members:
            # One without a name is named by its own members.
            inner = f"{path}.{member.name}" if member.name else path
            if member.bits:
                assert isinstance(member.type, Scalar)
                first, width = member.bits
                yield Leaf(inner, member.type, start + first, width)
            else:
                yield from leaves(member.type, inner, start + OCTET * member.offset)


def pieces(type_: CType, placement: Placement, start: int, width: int) -> tuple[Piece, ...]:
    """
    Return where bits of an argument lie, lowest first.

    `start` and `width` are those of a leaf.  There are several pieces where the bits are in
    several registers, or in more bytes than one load has.
    """
    if placement.by_reference and placement.stack is None:
        return tuple(_loaded(Base.BY_REGISTER, placement.general[0], start, width))
    if placement.by_reference:
        return tuple(_loaded(Base.BY_SLOT, placement.stack or 0, start, width))
    if placement.stack is not None:
        return tuple(_loaded(Base.STACK, 0, OCTET * placement.stack + start, width))
    if placement.vector:
        base, numbers, size = Base.VECTOR, placement.vector, OCTET * type_.size
        if isinstance(type_, Composite):
            size = OCTET * type_.homogeneous[0].size
    else:
        base, numbers, size = Base.REGISTER, placement.general, WORD
    return tuple(_split(base, numbers, size, start, width))


def _split(
    base: Base, numbers: tuple[int, ...], size: int, start: int, width: int
) -> Iterator[Piece]:
    """Yield the part of some bits that each register has, all of which hold `size` bits."""
    end = start + width
    while start < end:
        index, first = divmod(start, size)
        step = min(end - start, size - first)
        yield Piece(base, numbers[index], first, step)
        start += step


def _loaded(base: Base, number: int, start: int, width: int) -> Iterator[Piece]:
    """Yield parts of some bits in memory, each of which a load has that begins at a byte."""
    end = start + width
    while start < end:
        step = min(end - start, WORD - start % OCTET)
        yield Piece(base, number, start, step)
        start += step
