# SPDX-License-Identifier: GPL-2.0-only
"""How a cell of the table of tracers is judged."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.abi import ctype
from harness.abi.ctype import LONG, CType
from harness.abi.offsets import Offsets
from harness.model.observation import Look, Observation
from harness.model.policy import Policy, Rule
from harness.tracers.cell import (
    Cell,
    Passed,
    Seen,
    Status,
    changed,
    described,
    is_read_as,
    passed,
    read_as,
)
from harness.tracers.reading import Read, Reading
from tests.unit.calls import ANY, LARGE, NINE
from tests.unit.factory import case, observe

RIGHT = Read.RIGHT
WORD = Passed(LONG, b"abcdefgh", None)
COPY = Passed(LARGE, bytes(range(1, 25)), 0xFFFF800080001000)
ADDRESS = (0xFFFF800080001000).to_bytes(8, "little")
NOTHING = Passed(LONG, bytes(8), None)
BYTE = Passed(ctype.CHAR, b"a", None)
PADDED = Passed(NINE, b"abcdefghi" + b"p" * 7, None)


@pytest.mark.parametrize(
    ("argument", "value", "read"),
    [
        (WORD, None, Read.ABSENT),
        (WORD, b"abcdefgh", RIGHT),
        (WORD, b"abcdefgi", Read.ANOTHER),
        (WORD, b"abcd", Read.TRUNCATED),
        (WORD, bytes(8), Read.ZERO),
        (WORD, ADDRESS, Read.ANOTHER),
        # Above its own byte a register has whatever.
        (BYTE, b"axxxxxxx", RIGHT),
        (BYTE, b"\0xxxxxxx", Read.ZERO),
        (COPY, ADDRESS, Read.ADDRESS),
        (COPY, ADDRESS + b"whatever else is read", Read.ADDRESS),
        (COPY, ADDRESS[:7], Read.ANOTHER),
        (COPY, bytes(range(1, 9)), Read.TRUNCATED),
        (COPY, bytes(range(1, 25)), RIGHT),
        # A value that is zero is right.
        (NOTHING, bytes(8), RIGHT),
        (NOTHING, bytes(4), Read.TRUNCATED),
        (PADDED, b"abcdefghi" + bytes(7), RIGHT),
        (PADDED, b"abcdefghj" + b"p" * 7, Read.ANOTHER),
        (PADDED, b"abcdefgh", Read.TRUNCATED),
    ],
)
def test_what_a_value_was_read_as(argument: Passed, value: bytes | None, read: Read) -> None:
    assert read_as(argument, value) is read
    assert is_read_as(read, argument, value)


TYPES: st.SearchStrategy[CType] = st.sampled_from([*ANY, ctype.VA_LIST])


@given(st.data())
def test_each_value_is_of_one_kind_at_least(data: st.DataObject) -> None:
    type_ = data.draw(TYPES)
    whole = st.binary(min_size=type_.size, max_size=type_.size)
    octets = st.one_of(whole, st.just(bytes(type_.size)))
    at = data.draw(st.one_of(st.none(), st.integers(0, (1 << 64) - 1)))
    argument = Passed(type_, data.draw(octets), at)
    near = [argument.value, argument.value[:8], bytes(8), argument.value + b"x", None]
    if at is not None:
        near.append(at.to_bytes(8, "little"))
    value = data.draw(st.one_of(st.sampled_from(near), st.binary(min_size=1, max_size=48)))
    fits = {read for read in Read if is_read_as(read, argument, value)}
    assert read_as(argument, value) in fits
    # Right and another's are never both, nor is nothing something.
    assert not fits >= {RIGHT, Read.ANOTHER}
    assert not fits >= {RIGHT, Read.TRUNCATED}
    assert (value is None) == (Read.ABSENT in fits) == (fits == {Read.ABSENT})


MADE = case("{arguments: [long, long, '...', long]}")
TWO = (WORD, Passed(LONG, b"ijklmnop", None))
READ_BOTH = Seen((b"abcdefgh", b"ijklmnop"))
LEFT = {1: Offsets.span(0, 8)}


def cell(predicted: Reading | None, seen: Seen, **facts: object) -> Cell:
    arrived = (b"abcdefgh", b"ijklmnop")
    made = Cell("own", MADE, predicted, seen, passed=TWO, arrived=arrived)
    return dataclasses.replace(made, **facts)  # type: ignore[arg-type]


BOTH = Reading((RIGHT, RIGHT))


def test_a_cell_that_agrees() -> None:
    one = cell(BOTH, READ_BOTH)
    assert (one.reads, one.status, one.mismatches) == ((RIGHT, RIGHT), Status.AGREES, ())
    refused = cell(Reading(refused="why"), Seen(refused="EINVAL"))
    assert (refused.reads, refused.status, refused.mismatches) == ((), Status.AGREES, ())
    # The words of a prediction are not the kernel's.
    spoilt = cell(Reading((RIGHT, RIGHT), corrupts=LEFT), READ_BOTH, left=LEFT)
    assert spoilt.status is Status.AGREES
    uncalled = cell(Reading((RIGHT, RIGHT), called=False), READ_BOTH, called=False)
    assert uncalled.status is Status.AGREES


def test_a_value_may_be_of_the_kind_that_is_predicted_as_well() -> None:
    """Zero is what the argument is, and what the ninth one is read as."""
    zeros = (NOTHING, NOTHING)
    seen = Seen((bytes(8), bytes(8)))
    one = cell(Reading((RIGHT, Read.ZERO)), seen, passed=zeros)
    assert (one.reads, one.status) == ((RIGHT, Read.ZERO), Status.AGREES)


def test_nothing_was_read() -> None:
    one = cell(BOTH, Seen())
    assert one.reads == (Read.ABSENT, Read.ABSENT)
    assert one.mismatches == ("it did not see the call",)
    # That nothing is printed may be predicted, but the call has to be seen.
    nothing = Reading((Read.ABSENT, Read.ABSENT))
    assert cell(nothing, Seen()).mismatches == ("it did not see the call",)
    assert cell(nothing, Seen((None, None))).status is Status.AGREES


def test_a_witness_needs_no_prediction() -> None:
    assert cell(None, READ_BOTH).status is Status.UNPREDICTED
    one = cell(None, READ_BOTH, witness=("argument 0 was 01",))
    assert one.status is Status.DIFFERS
    assert one.mismatches == ("the witness disagrees: argument 0 was 01",)


@pytest.mark.parametrize(
    ("predicted", "seen", "facts", "sentences"),
    [
        (
            BOTH,
            Seen((b"abcdefgh", bytes(8))),
            {},
            ["argument 1 was read as zero, predicted right"],
        ),
        (
            Reading((RIGHT, Read.ZERO)),
            READ_BOTH,
            {},
            ["argument 1 was read as right, predicted zero, better than predicted"],
        ),
        (BOTH, Seen(refused="EPERM"), {}, ["it was refused: EPERM"]),
        (
            Reading(refused="a union"),
            READ_BOTH,
            {},
            ["it was not refused, predicted a refusal (a union), better than predicted"],
        ),
        (BOTH, READ_BOTH, {"called": False}, ["the function was not called"]),
        (
            Reading((RIGHT, RIGHT), called=False),
            READ_BOTH,
            {},
            ["the function was called"],
        ),
        (
            BOTH,
            READ_BOTH,
            {"left": {0: Offsets([3])}},
            ["the function saw argument 0 changed in byte 3"],
        ),
        (
            Reading((RIGHT, RIGHT), corrupts=LEFT),
            READ_BOTH,
            {},
            ["the function saw argument 1 as it was passed, better than predicted"],
        ),
        # Part of what is predicted may happen to be right; more may not be wrong.
        (Reading((RIGHT, RIGHT), corrupts=LEFT), READ_BOTH, {"left": {1: Offsets([3])}}, []),
        (
            Reading((RIGHT, RIGHT), corrupts={1: Offsets.span(0, 4)}),
            READ_BOTH,
            {"left": LEFT},
            ["the function saw argument 1 changed in byte 0-7"],
        ),
        # A tail that no tracer reads.
        (
            BOTH,
            READ_BOTH,
            {"left": {2: Offsets([0])}},
            ["the function saw argument 2 changed in byte 0"],
        ),
        # What is refused must leave the function alone.
        (
            Reading(refused="a union"),
            Seen(refused="EINVAL"),
            {"left": LEFT},
            ["the function saw argument 1 changed in byte 0-7"],
        ),
        (
            Reading(refused="a union"),
            Seen(refused="EINVAL"),
            {"called": False},
            ["the function was not called"],
        ),
        (
            Reading(refused="a union"),
            READ_BOTH,
            {"left": LEFT},
            [
                "it was not refused, predicted a refusal (a union)",
                "the function saw argument 1 changed in byte 0-7",
            ],
        ),
        # It would have been changed by what was refused.
        (
            Reading((RIGHT, RIGHT), corrupts=LEFT),
            Seen(refused="EINVAL"),
            {},
            ["it was refused: EINVAL"],
        ),
    ],
)
def test_what_is_not_as_predicted(
    predicted: Reading, seen: Seen, facts: dict[str, object], sentences: list[str]
) -> None:
    one = cell(predicted, seen, **facts)
    assert list(one.mismatches) == sentences
    assert one.status is (Status.DIFFERS if sentences else Status.AGREES)


@pytest.mark.parametrize("refused", [True, False])
def test_what_a_jprobe_beside_it_leaves_is_not_the_tracers(refused: bool) -> None:
    reading = Reading(refused="a union") if refused else BOTH
    seen = Seen(refused="EINVAL") if refused else READ_BOTH
    assert cell(reading, seen, left=LEFT, beside=LEFT).status is Status.AGREES
    other = cell(reading, seen, left=LEFT, beside={1: Offsets.span(0, 4)})
    assert other.mismatches == ("the function saw argument 1 changed in byte 0-7",)
    (less,) = cell(reading, seen, beside=LEFT).mismatches
    assert less == "the function saw argument 1 changed in no byte"


def test_a_cell_without_a_prediction() -> None:
    one = cell(None, READ_BOTH, left=LEFT)
    assert (one.status, one.mismatches) == (Status.UNPREDICTED, ())
    assert one.reads == (RIGHT, RIGHT)


def test_a_call_that_could_not_be_judged() -> None:
    one = Cell("own", MADE, None, Seen(), errors=("The kernel died.",))
    assert (one.status, one.mismatches, one.reads) == (
        Status.DIFFERS, ("The kernel died.",), (),
    )  # fmt: skip


def test_offsets_in_words() -> None:
    assert described(Offsets([0])) == "byte 0"
    assert described(Offsets([0, 1, 2, 5, 8, 9])) == "byte 0-2, 5, 8-9"


# What the caller passed, and what the function saw of it.


def saw(text: str) -> tuple[list[Passed], dict[int, Offsets], Observation]:
    made = case(text)
    observed = observe(made, Policy(Rule.NONE))
    return list(passed(made, observed)), changed(made, observed), observed


LARGES = "types: {large: ['long[3]']}, arguments: [long, large, large]"


def test_what_was_passed() -> None:
    found, left, observed = saw(f"{{{LARGES}}}")
    assert [one.at for one in found] == [None, *(observed.arguments[i].at for i in (1, 2))]
    assert found[1].at != found[2].at
    assert [one.type.size for one in found] == [len(one.value) for one in found] == [8, 24, 24]
    assert left == {}


def test_the_tail_is_not_read_but_looked_at() -> None:
    made = case("{arguments: [long, '...', long, long]}")
    observed = observe(made, Policy(Rule.NONE))
    assert len(list(passed(made, observed))) == 1
    look = observed.arguments[2]
    other = bytes([look.seen[0] ^ 1]) + look.seen[1:] if look.seen else b""
    arguments = {**observed.arguments, 2: look._replace(seen=other)}
    assert changed(made, dataclasses.replace(observed, arguments=arguments)) == {2: {0}}


def test_padding_is_not_looked_at() -> None:
    made = case("{types: {nine: [long, char]}, arguments: [nine]}")
    observed = observe(made, Policy(Rule.NONE))
    value = made.arguments[0].value
    seen = value[:9] + bytes(octet ^ 0xFF for octet in value[9:])
    padded = dataclasses.replace(observed, arguments={0: Look(0, None, None, seen)})
    assert changed(made, padded) == {}
    wrong = bytes([value[0] ^ 1]) + seen[1:]
    worse = dataclasses.replace(observed, arguments={0: Look(0, None, None, wrong)})
    assert changed(made, worse) == {0: {0}}


def test_a_box_is_passed_as_a_pointer() -> None:
    made = case("{types: {pair: ['long[2]']}, arguments: [{type: pair, boxed: true}]}")
    observed = observe(made, Policy(Rule.NONE))
    at = 0xFFFF800080001000
    boxed = dataclasses.replace(observed, arguments={0: Look(at, None, None, bytes(16))})
    (found,) = passed(made, boxed)
    assert (found.value, found.type.size, found.at) == (at.to_bytes(8, "little"), 8, None)


def test_the_bytes_of_a_va_list_are_the_functions() -> None:
    made = case("{arguments: [va_list]}")
    observed = observe(made, Policy(Rule.NONE))
    words = bytes(range(32))
    known = dataclasses.replace(observed, arguments={0: Look(64, None, None, words)})
    (found,) = passed(made, known)
    assert (found.value, found.at) == (words, 64)
    # Where the function was not called, nobody knows them.
    unknown = dataclasses.replace(observed, arguments={})
    (found,) = passed(made, unknown)
    assert (found.value, found.at) == (bytes(32), 0)
    assert changed(made, known) == changed(made, unknown) == {}
