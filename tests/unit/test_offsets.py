# SPDX-License-Identifier: GPL-2.0-only
"""Sets of offsets behave as sets of numbers do."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.abi.offsets import NONE, Offsets, differing, ranges

numbers = st.frozensets(st.integers(0, 300))
data = st.binary(max_size=64)


@given(numbers, numbers)
def test_they_are_sets(one: frozenset[int], other: frozenset[int]) -> None:
    ours, theirs = Offsets(one), Offsets(other)
    assert ours == one and one == ours and hash(ours) == hash(frozenset(one))
    assert list(ours) == sorted(one) and len(ours) == len(one) and bool(ours) == bool(one)
    assert (ours == theirs) == (one == other) and (ours <= theirs) == (one <= other)
    for with_ in (theirs, other):
        for found, expected in (
            (ours & with_, one & other),
            (ours | with_, one | other),
            (ours - with_, one - other),
        ):
            assert isinstance(found, Offsets) and list(found) == sorted(expected)
    assert all((number in ours) == (number in one) for number in range(-2, 302))


@given(numbers, st.integers(0, 50))
def test_moved(one: frozenset[int], by: int) -> None:
    assert Offsets(one).moved(by) == {number + by for number in one}


@given(numbers)
def test_ranges(one: frozenset[int]) -> None:
    found = ranges(Offsets(one))
    assert found == ranges(one)
    assert {number for start, end in found for number in range(start, end)} == one
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))


@given(st.integers(-5, 90), st.integers(-5, 90))
def test_spans(start: int, end: int) -> None:
    assert Offsets.span(max(start, 0), end) == set(range(max(start, 0), end))


@given(st.tuples(data, data).map(lambda pair: (pair[0].ljust(64), pair[1].ljust(64))))
def test_differing(pair: tuple[bytes, bytes]) -> None:
    one, other = pair
    assert differing(one, other) == {i for i in range(64) if one[i] != other[i]}
    assert differing(one, one) is NONE


def test_data_of_two_sizes_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="2 and 3 bytes"):
        differing(b"ab", b"abc")
