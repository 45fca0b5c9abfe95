# SPDX-License-Identifier: GPL-2.0-only
"""Sets of byte offsets, as bits of a number: comparing two costs no loop over their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import Any

# Turns each byte into the binary digit that says whether any bit of it is set.
_ANY_BIT = b"0" + b"1" * 255


class Offsets(Set[int]):
    """Offsets, in bytes and none of them negative; equal to any set of the same numbers."""

    __slots__ = ("bits",)

    def __init__(self, offsets: Iterable[int] = ()) -> None:
        self.bits = sum(1 << offset for offset in set(offsets))

    @classmethod
    def of(cls, bits: int) -> Offsets:
        """Return the numbers of the bits that are set."""
        made = cls.__new__(cls)
        made.bits = bits
        return made

    @classmethod
    def span(cls, start: int, end: int) -> Offsets:
        """Return `start` up to `end`, which is left out."""
        return cls.of((1 << end) - (1 << start) if start < end else 0)

    def __contains__(self, offset: object) -> bool:
        return isinstance(offset, int) and offset >= 0 and bool(self.bits >> offset & 1)

    def __iter__(self) -> Iterator[int]:
        for start, end in ranges(self):
            yield from range(start, end)

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __bool__(self) -> bool:
        return bool(self.bits)

    def __eq__(self, other: object) -> bool:
        return self.bits == other.bits if isinstance(other, Offsets) else super().__eq__(other)

    def __hash__(self) -> int:
        return self._hash()

    def __and__(self, other: Set[Any]) -> Offsets:
        return Offsets.of(self.bits & _bits(other))

    def __or__(self, other: Set[Any]) -> Offsets:
        return Offsets.of(self.bits | _bits(other))

    def __sub__(self, other: Set[Any]) -> Offsets:
        return Offsets.of(self.bits & ~_bits(other))

    def __repr__(self) -> str:
        return f"Offsets({list(self)})"

    def moved(self, by: int) -> Offsets:
        """Return each of them plus `by`, which is not negative."""
        return Offsets.of(self.bits << by)


NONE = Offsets()


def _bits(offsets: Set[Any]) -> int:
    return offsets.bits if isinstance(offsets, Offsets) else Offsets(offsets).bits


def differing(one: bytes, other: bytes) -> Offsets:
    """Return the offsets of the bytes that differ; raises ValueError for data of two sizes."""
    if one == other:
        return NONE
    if len(one) != len(other):
        raise ValueError(f"{len(one)} and {len(other)} bytes cannot be compared")
    different = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    # The first byte becomes the last digit, which is bit 0.
    digits = different.to_bytes(len(one), "little").translate(_ANY_BIT)
    return Offsets.of(int(digits, 2))


def ranges(offsets: Iterable[int]) -> list[tuple[int, int]]:
    """Return offsets as half-open ranges [start, end), in order."""
    bits = offsets.bits if isinstance(offsets, Offsets) else Offsets(offsets).bits
    found: list[tuple[int, int]] = []
    at = 0
    while bits:
        gap = (bits & -bits).bit_length() - 1
        bits >>= gap
        length = (~bits & bits + 1).bit_length() - 1
        bits >>= length
        found.append((at + gap, at + gap + length))
        at += gap + length
    return found
