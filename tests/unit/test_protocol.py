# SPDX-License-Identifier: GPL-2.0-only
"""Records that a real guest sent, whole, in pieces and damaged."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import re
import time
import zlib
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cases.catalog import Catalog
from harness.cases.generator import draw
from harness.guest.protocol import Parser
from harness.guest.records import DamagedRecord, Introduction, Ran, Record, Refusal
from harness.model.assembled import FrameImage, assemble, observe
from harness.model.observation import Observation
from harness.model.policy import Policy, Rule
from harness.model.storm import Storm
from harness.model.storm import judge as judge_storm
from harness.model.verdict import judge

RAW = (Path(__file__).parent / "data/records.txt").read_bytes()
# What the guest was asked to play.
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


def padding_bytes(image: FrameImage) -> set[int]:
    """Return the offsets in the frame of bytes of an argument that carry no value."""
    padding = set()
    for index, (argument, placement) in enumerate(
        zip(image.case.arguments, image.case.layout.placements)
    ):
        start = image.copies.get(index, placement.stack)
        if start is None:
            continue
        holes = set(range(argument.type.size)) - argument.type.value_bytes
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
    assert isinstance(guest, Introduction)
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
        for offset in (range(8) if placement.by_reference else argument.type.value_bytes)
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


@settings(deadline=None)
@given(st.lists(st.integers(1, len(RAW) - 1), max_size=20))
def test_pieces_make_the_same_records(cuts: list[int]) -> None:
    parser = Parser()
    edges = [0, *sorted(cuts), len(RAW)]
    records = [r for a, b in itertools.pairwise(edges) for r in parser.feed(RAW[a:b])]
    assert records == parse(RAW)


def test_a_shared_console_is_read_past() -> None:
    noisy = b"[    1.0] Key type registered\r\n" + RAW.replace(b"\n", b"\r\n")
    assert Parser(shared=True).feed(noisy) == parse(RAW)
    (damaged,) = parse(b"[    1.0] Key type registered\n[    1.1] Segment Routing\n")
    assert damaged == DamagedRecord(
        "A record of the guest's is none: '[    1.0] Key type registered'."
    )


# The last line is an answer, which has no checksum.
@settings(deadline=None)
@given(st.integers(RAW.index(b"play seq=1"), RAW.index(b"run status") - 2), st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_a_record(place: int, bits: int) -> None:
    """Records without the changed byte are unchanged; the one with it is reported as damaged."""
    damaged = bytearray(RAW)
    damaged[place] ^= bits
    ends = [match.end() for match in re.finditer(rb"^(?:end|run) .*\n", RAW, re.MULTILINE)]
    starts = [0, *ends[:-1]]
    # The last byte of a record keeps it from the next one.
    untouched = [
        record
        for record, start, end in zip(parse(RAW), starts, ends, strict=True)
        if not start - 1 <= place < end
    ]
    sound = [record for record in parse(bytes(damaged)) if not isinstance(record, DamagedRecord)]
    assert [record for record in sound if record in parse(RAW)] == sound
    assert [record for record in sound if record in untouched] == untouched
    assert len(sound) < len(parse(RAW))


def sealed(lines: bytes) -> bytes:
    """Return a record with the right checksum, after an introduction."""
    introduction = RAW[: RAW.index(b"play seq=1")]
    return introduction + lines + b"end seq=1 crc=%08x\n" % zlib.crc32(lines)


FIRST = RAW[RAW.index(b"play seq=1") : RAW.index(b"end seq=1")]


def test_a_sealed_record_is_a_record() -> None:
    assert parse(sealed(FIRST)) == parse(RAW)[:2]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (rb"top=\w+", b"top=ffffffffffffffff", "a stack that cannot be"),
        (rb"sp=\w+", b"sp=0", "a stack that cannot be"),
        (rb"sp=\w+", b"sp=1ffff80000ac6bd90", "sp='1ffff80000ac6bd90' in 'stack'"),
        (rb"hits=1", b"hits=" + b"9" * 5000, "hits='9999"),
        (rb"hits=1", b"hits=1 hits=1", "'hits' twice in 'count'"),
        (rb"hits=1 ", b"", "'handler' in place of 'hits' in 'count'"),
        (rb"missed=0 (.*)", rb"\1 missed=0", "'skipped' in place of 'missed'"),
        (rb"hits=1", b"hits=1 laps=1", "'laps' in place of 'handler'"),
        (rb"seq=1", b"seq=2", "two numbers"),
        (rb"\ncount .*", b"", "0 lines 'count'"),
        (rb"\n(count .*)", rb"\n\1\n\1", "2 lines 'count'"),
        (rb"\n(arg .*)", rb"\n\1\n\1", "an argument twice"),
        (rb"(arg index=\d+.*seen=)\w+", rb"\g<1>0", "seen='0' in 'arg'"),
        (rb"area before=", b"area before=00", "bytes of one place in two sizes"),
        (rb"context=process", b"context=\x1b[31m", "context='"),
        (rb"line=stack-9", b"line=stack\x1b]52;", "line='stack"),
        (rb"line=stack-9", b"line=stack\xff", "bytes that are not ASCII"),
        (rb"saved=0", b"saved=1048576", "saved='1048576'"),
    ],
)
def test_what_the_module_cannot_have_written(old: bytes, new: bytes, sentence: str) -> None:
    lines, count = re.subn(old, new, FIRST, count=1)
    assert count
    guest, damaged = parse(sealed(lines))
    assert isinstance(guest, Introduction)
    assert isinstance(damaged, DamagedRecord)
    assert sentence in damaged.sentence
    assert "Record" in damaged.sentence
    assert damaged.sentence.isprintable()


@pytest.mark.parametrize(
    "line",
    [
        b"run status=1 output=aGVsbG8",
        b"run status=one output=",
        b"run status=0",
        b"sshd key=nonsense",
        b"sshd key=c3NoLWVkMjU1MTk=",
        b"dump wanted=" + b"1" * 5000,
    ],
)
def test_an_answer_that_cannot_be(line: bytes) -> None:
    (damaged,) = parse(line + b"\n")
    assert isinstance(damaged, DamagedRecord)


def test_an_introduction_comes_once() -> None:
    introduction = RAW[: RAW.index(b"play seq=1")]
    _, damaged, first, *_ = parse(introduction + RAW)
    assert damaged == DamagedRecord(
        "A record of the guest's has an introduction, which it sent before."
    )
    assert first == parse(RAW)[1]


def test_damage_is_named() -> None:
    (_, damaged, *rest) = parse(RAW.replace(b"saved=0", b"saved=8", 1))
    assert damaged == DamagedRecord("Record 1 of the guest's has a wrong checksum.")
    assert rest == parse(RAW)[2:]
    (damaged, *rest) = parse(RAW[RAW.index(b"play seq=1") :])
    assert isinstance(damaged, DamagedRecord)
    assert "before the guest introduced itself" in damaged.sentence


def test_a_record_or_a_line_without_end() -> None:
    introduction = RAW[: RAW.index(b"play seq=1")]
    line = b"arg index=1 at=0 before= after= seen=%s\n" % (b"00" * 1000)
    endless = introduction + b"play seq=1 line=x\n" + line * 100
    _, damaged = parse(endless)
    assert damaged == DamagedRecord("A record of the guest's is over 128 KiB.")
    parser = Parser()
    found = [one for _ in range(100) for one in parser.feed(b"x" * 10000)]
    assert found == [DamagedRecord("A line of the guest's is longer than 131072 bytes.")]
    # What follows is parsed again.
    assert parser.feed(b"\n" + RAW)[-12:] == parse(RAW)


def test_a_long_answer_takes_time_as_it_is_long() -> None:
    """Such an answer is /proc/kallsyms, which comes in small pieces."""
    answer = b"run status=0 output=" + base64.b64encode(b"x" * (12 << 20)) + b"\n"
    parser = Parser()
    parser.feed(b"dump wanted=1\n")
    start = time.process_time()
    # The first pieces end in the middle of its first word.
    edges = [0, 1, 2, *range(4096, len(answer), 4096), len(answer)]
    pieces = (answer[a:b] for a, b in itertools.pairwise(edges))
    (ran,) = (record for piece in pieces for record in parser.feed(piece))
    assert isinstance(ran, Ran)
    assert len(ran.output) == 12 << 20
    # It takes a tenth of a second; copying all earlier pieces for each one takes half a minute.
    assert time.process_time() - start < 5


def test_a_cut_record_is_none() -> None:
    assert len(parse(RAW[: RAW.index(b"end seq=1")])) == 1
