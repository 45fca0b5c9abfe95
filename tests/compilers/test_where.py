# SPDX-License-Identifier: GPL-2.0-only
"""
Hold what `where` says of each member against gcc and clang, on random signatures.

A compiled function copies each scalar of its arguments, by its name in C, from a machine in which
the arguments lie as the model places them.  The bits that are read from the same machine, as
`where` says, must be those.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.abi import places
from harness.abi.aapcs64 import Placement, place
from harness.abi.ctype import BOOL, CType, Scalar, TypeKind
from harness.abi.declaration import Reader
from harness.abi.places import Base, Leaf, Piece, leaves
from harness.modules.typedefs import declare
from tests.compilers.emulator import COMPILERS, Emulator, Signature, State, available, compile_
from tests.compilers.test_placement import BATCH, generate

# Scalars of one signature that are compared; a slot has room for the largest.
COUNT, SLOT = 1000, 16
# Signatures for each compiler.
MANY = 10_000


def parts(signature: Signature) -> list[tuple[int, CType, Placement, Leaf]]:
    """Return the scalars of a signature's named arguments."""
    named = zip(signature.types, place(signature.types).placements)
    found = [
        (index, type_, placement, leaf)
        for index, (type_, placement) in enumerate(named)
        if index < signature.named
        for leaf in leaves(type_)
    ]
    return found[:COUNT]


def copying(index: int, signature: Signature) -> str:
    """Return a function that copies each scalar to a slot of its own."""
    parameters = [declare(t, f"a{i}") for i, t in enumerate(signature.types[: signature.named])]
    lines = []
    for number, (argument, _, _, leaf) in enumerate(parts(signature)):
        name, at = f"a{argument}{leaf.path}", SLOT * number
        integer = leaf.type.kind is TypeKind.INTEGER and leaf.type.size <= 8
        # A bool here may be neither 0 nor 1, of which a compiler makes what it likes.
        if integer and (leaf.type != BOOL or leaf.width == 1):
            # It may be a bit-field, which has no address.
            lines.append(f"*(unsigned long *)(seen + {at}) = {name};")
        else:
            lines.append(f"__builtin_memcpy(seen + {at}, &{name}, sizeof({name}));")
    parameters += ["..."] if signature.named < len(signature.types) else []
    return f"void f{index}({', '.join(parameters)})\n{{\n{''.join(lines)}\n}}\n"


def fetch(piece: Piece, state: State) -> int:
    """Read a piece from a machine."""
    match piece.base:
        case Base.REGISTER:
            value = state.general[piece.number]
        case Base.VECTOR:
            value = state.vector[piece.number]
        case Base.STACK:
            value = int.from_bytes(state.stack, "little")
        case Base.BY_REGISTER:
            value = int.from_bytes(state.copies[state.general[piece.number]], "little")
        case Base.BY_SLOT:
            slot = state.stack[piece.number : piece.number + 8]
            value = int.from_bytes(state.copies[int.from_bytes(slot, "little")], "little")
    return value >> piece.start & (1 << piece.width) - 1


def wrong(compiler: str, batch: Sequence[Signature]) -> list[str]:
    """Return the scalars that a compiler finds elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        # What a compiler may do with its copies is not asked, and takes most of its time.
        emulator = Emulator(compile_(compiler, batch, Path(folder), copying, "-O0"))
    found = []
    for index, signature in enumerate(batch):
        state = State(index, signature)
        seen = emulator.seen(f"f{index}", state)
        for number, (argument, type_, placement, leaf) in enumerate(parts(signature)):
            value = shift = 0
            for piece in places.pieces(type_, placement, leaf.start, leaf.width):
                value |= fetch(piece, state) << shift
                shift += piece.width
            slot = int.from_bytes(seen[SLOT * number : SLOT * (number + 1)], "little")
            if slot & (1 << leaf.width) - 1 != value:
                found.append(f"{index}: a{argument}{leaf.path}")
    return found


@pytest.fixture(params=COMPILERS)
def compiler(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    assert available(name), f"{name} is not installed; run: jprobe-harness doctor --install --extra"
    return name


def check(compiler: str, count: int, number: int) -> None:
    made = generate(count, number)
    assert len(made) == count
    for start in range(0, count, BATCH):
        assert wrong(compiler, made[start : start + BATCH]) == []


def test_each_member_is_where_it_is_said_to_be(
    compiler: str, request: pytest.FixtureRequest
) -> None:
    option = request.config.getoption
    check(compiler, option("--signatures"), option("--signature-seed") + 1)


@pytest.mark.full
def test_each_member_of_many(compiler: str) -> None:
    check(compiler, MANY, 1)


@pytest.mark.parametrize("off", [8, 1])
def test_a_member_that_is_off_is_found(off: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: one byte too far in memory, or one bit."""
    right = places._loaded

    def shifted(base: Base, number: int, start: int, width: int) -> list[Piece]:
        return list(right(base, number, start + off, width))

    monkeypatch.setattr(places, "_loaded", shifted)
    pair = Reader().parameter("long")
    assert isinstance(pair, Scalar)
    assert wrong("gcc", [Signature((pair,) * 9, 9)]) == ["0: a8"]
