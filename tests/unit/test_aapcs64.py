# SPDX-License-Identifier: GPL-2.0-only
"""The placement rules, one by one and as properties of any signature."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.abi import ctype
from harness.abi.aapcs64 import Layout, place
from harness.abi.ctype import CType, composite

PAIR = composite("struct", "pair", [ctype.LONG, ctype.LONG])
NINE = composite("struct", "nine", [ctype.Array(ctype.CHAR, 9)])
THREE = composite("struct", "three", [ctype.Array(ctype.LONG, 3)])
WIDE = composite("struct", "wide", [ctype.INT128])
HFA3 = composite("struct", "hfa3", [ctype.FLOAT] * 3)
HVA2 = composite("struct", "hva2", [ctype.VECTOR16] * 2)
LONG = ctype.LONG


def where(layout: Layout) -> list[str]:
    """Return x3, v1, +8 or, by reference, *x3, for each argument."""
    words = []
    for p in layout.placements:
        star = "*" if p.by_reference else ""
        if p.stack is not None:
            words.append(f"{star}+{p.stack}")
        else:
            registers = [f"x{n}" for n in p.general] + [f"v{n}" for n in p.vector]
            words.append(star + " ".join(registers))
    return words


@pytest.mark.parametrize(
    ("types", "expected", "stack_size"),
    [
        ([LONG] * 9, [f"x{n}" for n in range(8)] + ["+0"], 8),
        # C.16: a slot of eight bytes for each.
        ([LONG] * 8 + [ctype.CHAR, ctype.SHORT], [f"x{n}" for n in range(8)] + ["+0", "+8"], 16),
        # C.10 and C.11: an even pair.
        ([LONG, ctype.INT128, LONG], ["x0", "x2 x3", "x4"], 0),
        # C.13: x7 is not used any more.
        (
            [LONG] * 7 + [ctype.INT128, LONG],
            [f"x{n}" for n in range(7)] + ["+0", "+16"],
            24,
        ),
        # C.14: aligned to 16.
        (
            [LONG] * 9 + [ctype.INT128, LONG],
            [f"x{n}" for n in range(8)] + ["+0", "+16", "+32"],
            40,
        ),
        # C.12: consecutive registers, an odd pair is fine for alignment 8.
        ([LONG, PAIR, NINE], ["x0", "x1 x2", "x3 x4"], 0),
        # C.13: a struct is never split.
        ([LONG] * 7 + [PAIR, LONG], [f"x{n}" for n in range(7)] + ["+0", "+16"], 24),
        # B.6: the copy of a struct that holds an __int128 is aligned to 16.
        ([LONG, WIDE], ["x0", "x2 x3"], 0),
        ([LONG] * 9 + [WIDE], [f"x{n}" for n in range(8)] + ["+0", "+16"], 32),
        # B.4: the address of a copy, in a register or on the stack.
        ([LONG, THREE, LONG], ["x0", "*x1", "x2"], 0),
        ([LONG] * 8 + [THREE], [f"x{n}" for n in range(8)] + ["*+0"], 8),
        ([ctype.VA_LIST], ["*x0"], 0),
        # C.1, C.5, C.6: floating point has registers of its own.
        ([ctype.DOUBLE, LONG] * 2, ["v0", "x0", "v1", "x1"], 0),
        ([ctype.FLOAT] * 10, [f"v{n}" for n in range(8)] + ["+0", "+8"], 16),
        # C.2, C.3: an HFA goes whole, or to the stack whole and closes v0 to v7.
        ([HFA3], ["v0 v1 v2"], 0),
        (
            [ctype.DOUBLE] * 6 + [HFA3, ctype.DOUBLE],
            [f"v{n}" for n in range(6)] + ["+0", "+16"],
            24,
        ),
        # B.3: 32 bytes of vectors stay in registers.
        ([HVA2], ["v0 v1"], 0),
        ([ctype.DOUBLE] * 8 + [LONG, HVA2], [f"v{n}" for n in range(8)] + ["x0", "+0"], 32),
    ],
)
def test_place(types: list[CType], expected: list[str], stack_size: int) -> None:
    layout = place(types)
    assert where(layout) == expected
    assert layout.stack_size == stack_size


def test_rules_are_named() -> None:
    layout = place([LONG] * 7 + [PAIR, THREE])
    assert layout.placements[7].rules == ("B.5", "C.13", "C.15")
    assert layout.placements[8].rules == ("B.4", "C.13", "C.17")


def test_layout_of_structs() -> None:
    holey = composite("struct", "holey", [ctype.CHAR, LONG])
    assert (holey.size, holey.align) == (16, 8)
    assert holey.value_bytes == frozenset([0, *range(8, 16)])
    packed = composite("struct", "packed", [ctype.CHAR, LONG], packed=True)
    assert (packed.size, packed.align) == (9, 1)
    union = composite("union", "either", [LONG, ctype.Array(ctype.CHAR, 12)])
    assert (union.size, union.align) == (16, 8)
    assert union.value_bytes == frozenset(range(12))
    aligned = composite("struct", "aligned", [ctype.CHAR], aligned=16)
    assert (aligned.size, aligned.align, aligned.natural_align) == (16, 16, 1)


scalars = st.sampled_from(
    [ctype.CHAR, ctype.SHORT, ctype.INT, LONG, ctype.POINTER, ctype.INT128, ctype.BOOL]
)
structs = st.lists(scalars, min_size=1, max_size=5).map(
    lambda members: composite("struct", "any", members)
)
signatures = st.lists(scalars | structs, min_size=1, max_size=40)


@given(signatures)
def test_every_argument_is_somewhere_and_nowhere_twice(types: list[CType]) -> None:
    layout = place(types)
    registers: list[int] = []
    slots: list[int] = []
    for type_, placement in zip(types, layout.placements):
        assert bool(placement.general) != (placement.stack is not None)
        registers += placement.general
        if placement.stack is not None:
            size = 8 if placement.by_reference else type_.size
            assert placement.stack % 8 == 0
            slots += range(placement.stack, placement.stack + size)
    assert len(set(registers)) == len(registers)
    assert len(set(slots)) == len(slots)
    assert all(slot < layout.stack_size for slot in slots)


@given(signatures, scalars)
def test_a_further_argument_moves_none_of_the_others(types: list[CType], last: CType) -> None:
    assert place([*types, last]).placements[:-1] == place(types).placements


@given(signatures)
def test_registers_are_not_used_again_after_the_stack(types: list[CType]) -> None:
    placements = place(types).placements
    on_stack = [placement.stack is not None for placement in placements]
    assert on_stack == sorted(on_stack)


@given(signatures)
def test_by_reference_is_what_exceeds_sixteen_bytes(types: list[CType]) -> None:
    for type_, placement in zip(types, place(types).placements):
        assert placement.by_reference == (type_.size > 16)
