# SPDX-License-Identifier: GPL-2.0-only
"""
Compare the model's placement with that of gcc and clang, on random signatures.

    tox -e compilers                        a sample
    tox -e compilers -- --signatures 10000  as many as you like, for each compiler

A difference shrinks to the smallest signature that shows it, printed as C.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis import strategies as st

from harness.abi import ctype
from harness.abi.ctype import BitField, Composite, CType, Scalar, composite
from tests.compilers.emulator import COMPILERS, ENUMS, Emulator, Signature, available, compile_
from tests.wrong_rules import WRONG_RULES

# How many functions one compiler run compiles.
BATCH = 100
QUICK = settings(
    max_examples=5000,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

INTEGERS = [
    ctype.CHAR, ctype.SCHAR, ctype.UCHAR, ctype.SHORT, ctype.USHORT, ctype.INT, ctype.UINT,
    ctype.LONG, ctype.ULONG, ctype.LONG_LONG, ctype.POINTER, ctype.INT128, *ENUMS,
]  # fmt: skip
FLOATING = [
    ctype.HALF, ctype.FLOAT, ctype.DOUBLE, ctype.QUAD, ctype.VECTOR8, ctype.VECTOR16,
]  # fmt: skip
CONTAINERS = [ctype.UCHAR, ctype.USHORT, ctype.UINT, ctype.ULONG]

_numbers = itertools.count()


def _named(keyword: str, members: list[CType | BitField], packed: bool, aligned: int) -> CType:
    # Each has a tag of its own, as all functions of a batch share one file.
    tag = f"s{next(_numbers)}"
    return composite(keyword, tag, members, packed=packed, aligned=aligned)


def _member(type_: CType, named: bool, counts: list[int]) -> CType:
    """Return a member: a type by name or, for a struct or union, written out, or an array of it."""
    if isinstance(type_, Composite) and not named:
        type_ = dataclasses.replace(type_, tag="")
    for count in counts:
        type_ = ctype.Array(type_, count)
    return type_


integers = st.sampled_from(INTEGERS)
scalars = integers | st.sampled_from(FLOATING) | st.just(ctype.BOOL)
bit_fields = st.sampled_from(CONTAINERS).flatmap(
    lambda container: st.builds(BitField, st.just(container), st.integers(1, 8 * container.size))
) | st.just(BitField(ctype.BOOL, 1))


def _undisputed(type_: CType) -> bool:
    """
    Not a packed HFA or HVA of 16-byte members.

    On the stack, gcc aligns it as the composite and clang as its members; no such
    type reaches a kernel function.
    """
    members = type_.homogeneous if isinstance(type_, Composite) else ()
    return not members or members[0].align <= max(8, type_.align)


def structs(members: st.SearchStrategy[CType]) -> st.SearchStrategy[CType]:
    counts = st.lists(st.integers(1, 4), max_size=2)
    plain_members = st.builds(_member, members, st.booleans(), counts)
    plain = st.builds(
        _named,
        st.sampled_from(["struct", "union"]),
        st.lists(plain_members, min_size=1, max_size=4),
        st.booleans(),
        st.sampled_from([1, 1, 1, 8]),
    )
    with_bits = st.builds(
        _named,
        st.just("struct"),
        st.lists(integers | bit_fields, min_size=1, max_size=6),
        st.booleans(),
        st.just(1),
    )
    return plain.filter(_undisputed) | with_bits


homogeneous = st.builds(
    lambda base, count: _named("struct", [base] * count, False, 1),
    st.sampled_from(FLOATING),
    st.integers(1, 5),
)
types = scalars | st.recursive(integers | scalars, structs, max_leaves=6) | homogeneous
variadic = types.filter(lambda t: not isinstance(t, Scalar) or t.size >= 8 or t == ctype.INT)


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    named = draw(st.lists(types, min_size=1, max_size=20))
    rest = draw(st.just([]) | st.lists(variadic, max_size=20))
    return Signature((*named, *rest), len(named))


def wrong(compiler: str, batch: Sequence[Signature]) -> list[tuple[Signature, list[int]]]:
    """Return the signatures on which a compiler differs from the model, with the arguments."""
    with tempfile.TemporaryDirectory() as folder:
        emulator = Emulator(compile_(compiler, batch, Path(folder)))
    found = [(s, emulator.differences(index, s)) for index, s in enumerate(batch)]
    return [(signature, places) for signature, places in found if places]


@pytest.fixture(params=COMPILERS)
def compiler(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    assert available(name), f"{name} is not installed; run: jprobe-harness doctor --install --extra"
    return name


@functools.cache
def generate(count: int, number: int) -> Sequence[Signature]:
    """Return `count` signatures, the same ones for the same seed."""
    made: list[Signature] = []

    @seed(number)
    @settings(QUICK, max_examples=count, phases=[Phase.generate])
    @given(signatures())
    def collect(signature: Signature) -> None:
        made.append(signature)

    collect()
    return tuple(made)


def shrink(compiler: str) -> Signature:
    """Return the smallest signature on which a compiler and the model differ."""
    return find(signatures(), lambda s: bool(wrong(compiler, [s])), settings=QUICK)


def test_compilers_agree_with_the_model(compiler: str, request: pytest.FixtureRequest) -> None:
    count: int = request.config.getoption("--signatures")
    made = generate(count, request.config.getoption("--signature-seed"))
    assert len(made) == count
    for start in range(0, count, BATCH):
        if wrong(compiler, made[start : start + BATCH]):
            pytest.fail(f"{compiler} finds an argument elsewhere:\n{shrink(compiler)}")


@pytest.mark.parametrize("rule", WRONG_RULES)
def test_a_wrong_rule_is_found(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: a struct that is split, and a stack slot of four bytes."""
    WRONG_RULES[rule](monkeypatch)
    pair = composite("struct", "pair", [ctype.LONG, ctype.LONG])
    batch = [Signature((*[ctype.LONG] * 7, pair, ctype.INT, ctype.INT), 10)]
    assert wrong("gcc", batch)
    # Random signatures find it too.
    made = generate(1000, 1)
    assert any(wrong("gcc", made[start : start + BATCH]) for start in range(0, 1000, BATCH))


@pytest.mark.full
@pytest.mark.parametrize("rule", WRONG_RULES)
def test_a_signature_that_finds_a_wrong_rule_shrinks(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRONG_RULES[rule](monkeypatch)
    assert len(shrink("gcc").types) <= 11
