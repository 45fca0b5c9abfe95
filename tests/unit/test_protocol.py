# SPDX-License-Identifier: GPL-2.0-only
"""Records that a real guest sent, whole, in pieces and damaged."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import re
import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cases.catalog import Catalog
from harness.cases.generator import draw
from harness.guest.protocol import HEAD, MAGIC, Parser
from harness.guest.records import DamagedRecord, Introduction, Ran, Record, Refusal
from harness.model import driven
from harness.model.assembled import FrameImage, assemble, observe
from harness.model.observation import Observation
from harness.model.policy import Policy, Rule
from harness.model.storm import Storm
from harness.model.storm import judge as judge_storm
from harness.model.verdict import judge
from harness.report.formats.record_text import as_text
from tests.records import (
    Line,
    changed,
    framed,
    joined,
    rewritten,
    sealed,
    split,
    taken_apart,
)

RAW = (Path(__file__).parent / "data/records").read_bytes()
INTRODUCTION, FIRST, *OTHERS = split(RAW)
RECORDS = [FIRST, *OTHERS]
# The answer to a command is the last thing.
ENDS = list(itertools.accumulate(map(len, [INTRODUCTION, *RECORDS])))
# What the guest was asked to play.
PLAYED = [
    ("none", "stack-9", "leak"),
    ("fixed-128", "by-ref-256", "by-ref"),
    ("v15", "irq-stack-9", "overflow"),
    ("fp-delta", "invalid-fp-stack-9", "skipped"),
    ("thread-size", "rollback-list-cpu", "rollback"),
    ("none", "va-list-stack", "by-ref"),
    ("fixed-64", "nested-interrupt-stack-9", "missed"),
    ("none", "real-tcp-listener", "leak"),
    ("fixed-128", "real-vprintk-store", "by-ref"),
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
        case = catalog.cases[name]
        verdict = judge(case, catalog.variants[variant].policy, driven.observe(case, record))
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


def hexadecimal(said: bytes) -> bytes:
    """Return what a guest sends on a serial line."""
    records = split(said)
    text = said[sum(map(len, records)) :]
    return b"".join(record.hex().encode() + b"\n" for record in records) + text


def test_a_shared_console_is_read_past() -> None:
    noisy = b"[    1.0] Key type registered\r\n" + hexadecimal(RAW).replace(b"\n", b"\r\n")
    assert Parser(shared=True).feed(noisy) == parse(RAW)
    (damaged,) = parse(b"[    1.0] Key type registered\n[    1.1] Segment Routing\n")
    assert damaged == DamagedRecord(
        "A record of the guest's is none: '[    1.0] Key type registered'."
    )


@settings(deadline=None)
@given(st.integers(0, len(hexadecimal(RAW)) - 40))
def test_a_message_inside_of_a_record_on_a_shared_console(place: int) -> None:
    """It takes the record with it, and no other one."""
    said = hexadecimal(RAW)
    broken = said[:place] + b"\n[    1.0] random: crng init done\n" + said[place:]
    found = Parser(shared=True).feed(broken)
    if place > len(INTRODUCTION.hex()):
        assert len([record for record in found if record in parse(RAW)]) >= len(parse(RAW)) - 1
    assert all(r in parse(RAW) or isinstance(r, DamagedRecord) for r in found)


@settings(deadline=None)
@given(st.integers(ENDS[0], ENDS[-1] - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_a_record(place: int, bits: int) -> None:
    """The record with the changed byte is damaged; so may be the next, where its size changed."""
    broken = bytearray(RAW)
    broken[place] ^= bits
    found = parse(bytes(broken))
    whole = parse(RAW)
    sound = [record for record in found if not isinstance(record, DamagedRecord)]
    assert [record for record in sound if record in whole] == sound
    struck = sum(end <= place for end in ENDS)
    assert whole[struck] not in sound
    assert sound[:struck] == whole[:struck]
    # A size that is larger swallows records, up to all of the rest; and without its magic number,
    # a record takes what follows it up to the next one.
    begin = ENDS[struck - 1]
    if not begin + 4 <= place < begin + 8:
        assert sound[struck:] in (whole[struck + 1 :], whole[struck + 1 : -1])
        assert any(isinstance(record, DamagedRecord) for record in found)


def test_a_sealed_record_is_a_record() -> None:
    assert joined(taken_apart(FIRST)) == FIRST == sealed(FIRST)
    assert parse(INTRODUCTION + FIRST) == parse(RAW)[:2]


def twice(line: Line) -> list[Line]:
    return [line, line]


def shorter(line: Line) -> list[Line]:
    return [dataclasses.replace(line, strings={**line.strings, "before": b"1"})]


BODY = FIRST[HEAD.size :]


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (changed(FIRST, "stack", top=-1), "a stack that cannot be"),
        (changed(FIRST, "stack", sp=0), "a stack that cannot be"),
        (changed(FIRST, "stack", context=5), "context=5 in 'stack'"),
        (changed(FIRST, "stack", irq=2), "irq=2 in 'stack'"),
        (changed(FIRST, "save", saved=1 << 20), "saved=1048576"),
        (changed(FIRST, "save", known=2), "known=2"),
        (changed(FIRST, "play", seq=-1), "seq=-1"),
        (changed(FIRST, "play", line=b"stack\x1b]52;"), "line=b'stack"),
        (changed(FIRST, "play", line=b"stack\xff"), "line=b'stack"),
        (changed(FIRST, "area", before=bytes(9)), "bytes of one place in two sizes"),
        (rewritten(FIRST, "count", twice), "2 lines 'count'"),
        (rewritten(FIRST, "count", lambda line: []), "0 lines 'count'"),
        (rewritten(FIRST, "arg", twice), "an argument twice"),
        (rewritten(FIRST, "area", shorter), "bytes of one place in two sizes"),
        (framed(BODY + b"\xff"), "an unknown line 255"),
        (framed(BODY[:-1]), "an end in 'taint'"),
        (framed(BODY + b"\x05"), "an end in 'area'"),
        (framed(BODY + b"\x0f\xff\xff\xff\xff"), "an end in 'error'"),
    ],
)
def test_what_the_module_cannot_have_written(record: bytes, sentence: str) -> None:
    guest, damaged = parse(INTRODUCTION + record)
    assert isinstance(guest, Introduction)
    assert isinstance(damaged, DamagedRecord)
    assert sentence in damaged.sentence
    assert damaged.sentence.isprintable()


@given(st.binary(max_size=400))
def test_lines_of_any_bytes(body: bytes) -> None:
    """They are a record or a sentence."""
    _, *found = parse(INTRODUCTION + framed(body))
    assert len(found) == 1


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
    _, damaged, first, *_ = parse(INTRODUCTION + RAW)
    assert damaged == DamagedRecord(
        "A record of the guest's has an introduction, which it sent before."
    )
    assert first == parse(RAW)[1]


def test_damage_is_named() -> None:
    broken = FIRST.replace(b"none 0", b"none 8")
    (_, damaged, *rest) = parse(INTRODUCTION + broken + b"".join(OTHERS))
    assert damaged == DamagedRecord("A record of the guest's has a wrong checksum.")
    assert rest == parse(RAW)[2:-1]
    (damaged, *rest) = parse(FIRST)
    assert isinstance(damaged, DamagedRecord)
    assert "before the guest introduced itself" in damaged.sentence
    another_version = FIRST.replace(b"JP\x01", b"JP\x02")
    (_, damaged, *rest) = parse(INTRODUCTION + another_version + OTHERS[0])
    assert damaged == DamagedRecord("A record of the guest's has a head that cannot be.")
    assert rest == [parse(RAW)[2]]


def test_a_record_or_a_line_that_is_too_long() -> None:
    too_long = HEAD.pack(MAGIC, (128 << 10) + 1, 0)
    _, damaged = parse(INTRODUCTION + too_long)
    assert damaged == DamagedRecord("A record of the guest's has a head that cannot be.")
    parser = Parser()
    found = [one for _ in range(100) for one in parser.feed(b"x" * 10000)]
    assert found == [DamagedRecord("A record of the guest's is longer than 131072 bytes.")]
    # What follows is parsed again.
    records = parse(RAW)
    assert parser.feed(b"\n" + RAW)[-len(records) :] == records


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
    assert len(parse(RAW[: ENDS[1] - 1])) == 1


def test_what_people_read() -> None:
    shown = list(as_text(RAW))
    assert shown[0].startswith("guest thread_size=16384 irq_stack_size=16384 cases=")
    assert shown[2] == "play seq=1 line=stack-9 none 0"
    assert re.fullmatch(
        r"stack sp=0xffff\w+ fp=0xffff\w+ top=0xffff\w+ irq=0 context=process", shown[3]
    )
    assert shown.count("") == len([INTRODUCTION, *RECORDS])
    assert shown[-1] == "run status=1 output=aGVsbG8K"
    assert list(as_text(framed(b"\xff"))) == ["The record has an unknown line 255.", ""]
    assert list(as_text(b"\x1b[2J\xff")) == ["\\x1b[2J\N{REPLACEMENT CHARACTER}"]
