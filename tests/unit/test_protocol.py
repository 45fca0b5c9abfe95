# SPDX-License-Identifier: GPL-2.0-only
"""Records that a real guest sent, whole, in pieces and damaged."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalog import Catalog
from harness.guest.protocol import Guest, Parser, ProtocolError, Ran, Record, Refusal
from harness.model.assembled import Image, assemble, observe
from harness.model.ctype import value_bytes
from harness.model.generate import draw
from harness.model.observation import Observation
from harness.model.policy import Policy, Rule
from harness.model.storm import Storm
from harness.model.storm import judge as judge_storm
from harness.model.verdict import judge

RAW = (Path(__file__).parent / "data/records.txt").read_bytes()
# What the guest was told to play.
PLAYED = [
    ("none", "stack-9", "leak"),
    ("fixed-128", "by-ref-256", "by-ref"),
    ("v15", "irq-stack-9", "overflow"),
    ("fp-delta", "invalid-fp-stack-9", "skipped"),
    ("thread-size", "rollback-list-cpu", "rollback"),
    ("none", "va-list-stack", "by-ref"),
    ("fixed-64", "nested-interrupt-stack-9", "missed"),
]


NONE = Policy(Rule.NONE)


def padding_bytes(image: Image) -> set[int]:
    """Offsets in the frame of bytes that belong to an argument and carry no value."""
    padding = set()
    for index, (argument, placement) in enumerate(
        zip(image.case.arguments, image.case.layout.placements)
    ):
        start = image.copies.get(index, placement.stack)
        if start is None:
            continue
        holes = set(range(argument.type.size)) - value_bytes(argument.type)
        padding |= {start + offset for offset in holes}
    slots = set(range(image.case.layout.stack_size))
    for index, placement in enumerate(image.case.layout.placements):
        if placement.stack is not None:
            size = 8 if placement.by_reference else image.case.arguments[index].type.size
            slots -= set(range(placement.stack, placement.stack + size))
    return padding | slots


def parse(data: bytes) -> list[Record]:
    return Parser().feed(data)


def test_real_records() -> None:
    guest, *records, storm, assembled, refusal, ran = parse(RAW)
    assert isinstance(guest, Guest)
    assert (guest.thread_size, guest.irq_stack_size) == (16384, 16384)
    assert refusal == Refusal(len(PLAYED) + 3, "nonsense none 0", "no such case")
    assert ran == Ran(1, "hello\n")
    catalog = Catalog()
    for (variant, name, label), record in zip(PLAYED, records, strict=True):
        assert isinstance(record, Observation)
        verdict = judge(catalog.cases[name], catalog.variants[variant].policy, record)
        assert (verdict.label, verdict.mismatches) == (label, ())
    assert isinstance(storm, Storm)
    assert judge_storm(NONE, storm, 2, 1000) == ()
    assert isinstance(assembled, Observation)
    image = assemble(draw(2016, 9), Random(2016))
    verdict = judge(image.case, NONE, observe(image, assembled))
    assert (verdict.label, verdict.mismatches) == ("by-ref+leak", ())


def test_a_case_as_data_is_judged_to_the_byte() -> None:
    """Whichever byte of the frame or of the registers differs, the verdict does not agree."""
    image = assemble(draw(2016, 9), Random(2016))
    raw = parse(RAW)[-3]
    assert isinstance(raw, Observation)
    assert raw.frame
    values = {
        8 * placement.general[0] + offset
        for argument, placement in zip(image.case.arguments, image.case.layout.placements)
        if placement.stack is None
        for offset in (range(8) if placement.by_reference else value_bytes(argument.type))
    }
    padding = padding_bytes(image)
    for moment, judged in (
        ("seen", set(range(len(image.frame))) - padding),
        ("arrived", values),
        ("passed", values),
    ):
        whole = getattr(raw.frame, moment)
        for offset in range(len(whole)):
            changed = bytearray(whole)
            changed[offset] ^= 0x40
            frame = dataclasses.replace(raw.frame, **{moment: bytes(changed)})
            seen = observe(image, dataclasses.replace(raw, frame=frame))
            agrees = judge(image.case, NONE, seen).agrees
            assert agrees is (offset not in judged), (moment, offset)


@given(st.lists(st.integers(1, len(RAW) - 1), max_size=20))
def test_pieces_make_the_same_records(cuts: list[int]) -> None:
    parser = Parser()
    edges = [0, *sorted(cuts), len(RAW)]
    records = [r for a, b in itertools.pairwise(edges) for r in parser.feed(RAW[a:b])]
    assert records == parse(RAW)


def test_a_shared_console_is_read_past() -> None:
    noisy = b"[    1.0] Key type registered\r\n" + RAW.replace(b"\n", b"\r\n")
    assert parse(noisy) == parse(RAW)


@given(st.integers(0, RAW.index(b"end seq=1") - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_a_record(place: int, bits: int) -> None:
    damaged = bytearray(RAW)
    start = RAW.index(b"play seq=1")
    place = max(place, start)
    damaged[place] ^= bits
    try:
        records = parse(bytes(damaged))
    except ProtocolError:
        return
    assert records == parse(RAW) or len(records) < len(parse(RAW))


def test_damage_is_named() -> None:
    with pytest.raises(ProtocolError, match="Record 1 of the guest's is damaged"):
        parse(RAW.replace(b"saved=0", b"saved=8", 1))
    with pytest.raises(ProtocolError, match="before it told its stack sizes"):
        parse(RAW[RAW.index(b"play seq=1") :])


def test_a_cut_record_is_none() -> None:
    assert len(parse(RAW[: RAW.index(b"end seq=1")])) == 1
