# SPDX-License-Identifier: GPL-2.0-only
"""Calls as AAPCS64 has them, without a machine: registers and stack at a function's entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from harness.abi import ctype
from harness.abi.aapcs64 import place
from harness.abi.ctype import INT, INT128, LONG, CType, composite
from harness.tracers.cell import Passed
from harness.tracers.reading import Traced

PAIR = composite("struct", "pair", [LONG, LONG])
NINE = composite("struct", "nine", [LONG, ctype.CHAR])
LARGE = composite("struct", "large", [LONG, LONG, ctype.CHAR])
WIDE = composite("struct", "wide", [INT128])
EITHER = composite("union", "either", [LONG, ctype.CHAR])


@dataclass(frozen=True)
class Call:
    """Registers and stack as AAPCS64 has them at a function's entry."""

    types: tuple[CType, ...]
    passed: tuple[Passed, ...]
    # x0-x7 and the words from SP on.
    registers: tuple[bytes, ...]
    stack: tuple[bytes, ...]

    @property
    def traced(self) -> Traced:
        return Traced(self.types, place(self.types), variadic=False)

    @property
    def sizes(self) -> list[int]:
        """In words."""
        return [-(-one.size // 8) for one in self.types]

    def arrived(self, index: int, registers: Sequence[bytes], stack: Sequence[bytes]) -> bytes:
        """Return what a function finds an argument to be."""
        placement, size = place(self.types).placements[index], self.types[index].size
        if placement.general:
            return b"".join(registers[number] for number in placement.general)[:size]
        assert placement.stack is not None
        return b"".join(stack)[placement.stack :][:size]


NARROW: tuple[CType, ...] = (
    ctype.CHAR,
    ctype.SHORT,
    INT,
    LONG,
    ctype.POINTER,
    ctype.BOOL,
    PAIR,
    NINE,
    EITHER,
)
ANY: tuple[CType, ...] = (
    *NARROW,
    INT128,
    WIDE,
    LARGE,
    composite("struct", "small", [ctype.CHAR] * 3),
)


def call(types: Sequence[CType], seed: bytes) -> Call:
    """Return a call in which no two bytes next to each other say the same."""
    # What nobody has written is not zero either.
    filler = bytes(octet or 1 for octet in seed)
    area = bytearray(filler[:64])
    layout = place(types)
    stack = bytearray(filler[64 : 64 + layout.stack_size + 16 & ~7])
    arguments = []
    for index, (type_, placement) in enumerate(zip(types, layout.placements)):
        value = bytes((37 * index + 11 * offset) % 255 + 1 for offset in range(type_.size))
        at = 0xFFFF800080001000 + 64 * index if placement.by_reference else None
        octets = value if at is None else at.to_bytes(8, "little")
        if placement.general:
            start = 8 * placement.general[0]
            area[start : start + len(octets)] = octets
        else:
            assert placement.stack is not None
            stack[placement.stack : placement.stack + len(octets)] = octets
        arguments.append(Passed(type_, value, at))
    return Call(tuple(types), tuple(arguments), words(area), words(stack))


def words(area: bytes | bytearray) -> tuple[bytes, ...]:
    return tuple(bytes(area[start : start + 8]) for start in range(0, len(area) & ~7, 8))


def calls(types: Sequence[CType], most: int) -> st.SearchStrategy[Call]:
    lists = st.lists(st.sampled_from(list(types)), min_size=1, max_size=most)
    return st.builds(call, lists, st.binary(min_size=1024, max_size=1024))
