# SPDX-License-Identifier: GPL-2.0-only
"""Records that a real guest sent, whole, in pieces and damaged."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalog import Catalog
from harness.guest.protocol import Guest, Parser, ProtocolError, Ran, Record, Refusal
from harness.model.observation import Observation
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


def parse(data: bytes) -> list[Record]:
    return Parser().feed(data)


def test_real_records() -> None:
    guest, *records, refusal, ran = parse(RAW)
    assert isinstance(guest, Guest)
    assert (guest.thread_size, guest.irq_stack_size) == (16384, 16384)
    assert refusal == Refusal(len(PLAYED) + 1, "nonsense none 0", "no such case")
    assert ran == Ran(1, "hello\n")
    catalog = Catalog()
    for (variant, name, label), record in zip(PLAYED, records, strict=True):
        assert isinstance(record, Observation)
        verdict = judge(catalog.cases[name], catalog.variants[variant].policy, record)
        assert (verdict.label, verdict.mismatches) == (label, ())


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
