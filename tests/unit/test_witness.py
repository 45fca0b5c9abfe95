# SPDX-License-Identifier: GPL-2.0-only
"""A witness agrees with a faithful guest, and finds any byte that is not recorded."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.case import Case
from harness.model.observation import Look, Observation
from harness.model.policy import Hit, Policy, Rule
from harness.model.witness import Copy, Sighting, copy_address, disagreements, stack_top
from tests.unit.factory import SP, case, observe

NONE = Policy(Rule.NONE)
TOP = (SP // 16384 + 1) * 16384
HIT = Hit(sp=SP, fp=SP + 64, top=TOP, irq=False, irq_stack_size=16384)
CASES = [
    case("{arguments: [12 x long], handler: {assign: all}}"),
    case("{types: {b: ['long[4]']}, arguments: [b, 8 x long, b], handler: {assign: all}}"),
    case("{arguments: [9 x long], object: {size: 16, writer: cpu}, handler: {assign: all}}"),
]


def sight(made: Case, observation: Observation) -> Sighting:
    """Return what a debugger sees of a faithful guest."""
    noise = random.Random(made.signature)
    before = bytearray(noise.randbytes(TOP - SP))
    after = bytearray(before)
    registers = [noise.getrandbits(64) for _ in range(8)]

    def fill(at: int, look: Look) -> None:
        start = at - SP
        seen = look.seen or b""
        before[start : start + len(seen)] = look.before or seen
        after[start : start + len(seen)] = seen

    fill(SP, observation.area)
    if observation.object:
        fill(observation.object.at, observation.object)
    copies = {}
    for index, placement in enumerate(made.layout.placements):
        if placement.by_reference:
            look = observation.arguments[index]
            fill(look.at, look)
            copies[index] = Copy(look.at, look.before or b"", look.seen or b"")
            if placement.stack is None:
                registers[placement.general[0]] = look.at
    return Sighting(
        SP, HIT.fp, TOP, tuple(registers), tuple(registers), bytes(before), bytes(after), copies
    )


@pytest.fixture(params=CASES, ids=["area", "copies", "object"])
def reported(request: pytest.FixtureRequest) -> tuple[Case, Observation, Sighting]:
    made: Case = request.param
    observation = observe(made, NONE, HIT)
    return made, observation, sight(made, observation)


def test_a_faithful_guest(reported: tuple[Case, Observation, Sighting]) -> None:
    assert disagreements(*reported) == ()


@pytest.mark.parametrize("made", CASES)
@given(st.data())
def test_any_byte_that_differs_is_found(made: Case, data: st.DataObject) -> None:
    observation = observe(made, NONE, HIT)
    sighting = sight(made, observation)
    place = data.draw(st.integers(0, TOP - SP - 1))
    changed = bytearray(sighting.stack_after)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert disagreements(
        made, observation, dataclasses.replace(sighting, stack_after=bytes(changed))
    )


def test_what_is_not_on_the_stack(reported: tuple[Case, Observation, Sighting]) -> None:
    made, observation, sighting = reported
    changes: list[dict[str, Any]] = [{"sp": SP + 16}, {"fp": 0}, {"top": TOP - 16}]
    for change in changes:
        assert disagreements(made, observation, dataclasses.replace(sighting, **change))
    registers = (*sighting.registers_after[:3], 5, *sighting.registers_after[4:])
    moved = dataclasses.replace(sighting, registers_after=registers)
    (sentence,) = disagreements(made, observation, moved)
    assert sentence.startswith("x3 was ")
    assert disagreements(made, observation, None) == (
        "the witness never saw the probed function's entry",
    )


def test_a_copy_that_lies_elsewhere(reported: tuple[Case, Observation, Sighting]) -> None:
    made, observation, sighting = reported
    for index, copy in sighting.copies.items():
        copies = {**sighting.copies, index: dataclasses.replace(copy, at=copy.at + 8)}
        found = disagreements(made, observation, dataclasses.replace(sighting, copies=copies))
        assert any(f"argument {index} is passed as" in sentence for sentence in found)


def test_a_handler_that_did_not_run_changes_nothing() -> None:
    made = CASES[0]
    skips = Policy(Rule.FP_DELTA, 8)
    observation = observe(made, skips, HIT)
    sighting = sight(made, observation)
    assert disagreements(made, observation, sighting) == ()
    before = bytes([sighting.stack_before[0] ^ 1]) + sighting.stack_before[1:]
    assert disagreements(made, observation, dataclasses.replace(sighting, stack_before=before))


def test_addresses() -> None:
    assert stack_top(0x4000, 0x4000) == 0x8000
    assert stack_top(0x7FF0, 0x4000) == 0x8000
    placements = CASES[1].layout.placements
    registers = tuple(range(100, 108))
    assert copy_address(placements[0], registers, b"") == 100
    last = placements[9]
    assert last.stack is not None
    stack = bytes(last.stack) + (0xFFFF0000).to_bytes(8, "little")
    assert copy_address(last, registers, stack) == 0xFFFF0000
