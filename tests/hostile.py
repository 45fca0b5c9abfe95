# SPDX-License-Identifier: GPL-2.0-only
"""A guest that records something else than happened, in one record of a boot."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from harness.cases.catalog import Catalog
from harness.guest.deadlines import Deadlines
from harness.guest.protocol import HEAD
from harness.run import batch, repro
from harness.run.batch import Boots
from harness.run.boot import Setup
from harness.run.plan import Outcome, Play
from harness.run.result import Batch
from harness.run.session import Session
from tests.records import Line, joined, numbered, sealed, split, taken_apart

RAW = (Path(__file__).parent / "unit/data/records").read_bytes()
# The recorded plays of a variant and a case that the catalog has.
PLAYED = (
    ("none", "stack-9"),
    ("fixed-128", "by-ref-256"),
    ("v15", "irq-stack-9"),
    ("fp-delta", "invalid-fp-stack-9"),
    ("thread-size", "rollback-list-cpu"),
    ("none", "va-list-stack"),
    ("fixed-64", "nested-interrupt-stack-9"),
    ("none", "real-tcp-listener"),
    ("fixed-128", "real-vprintk-store"),
)
INTRODUCTION, *RECORDS = split(RAW)[: len(PLAYED) + 1]
POWERED_OFF = b"reboot: Power down\n"


# Values that a guest's module does not write, or not there.
NUMBERS = (
    -1, 0, 1, 2, 7, 255, 4096, 1 << 20, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
    0xFFFF_8000_0000_0000,
)  # fmt: skip
STRINGS = (
    b"", b"0", b"1 ", b" ", b"=", b"\x1b]52;c;AAAA\x07", "\u202e".encode(), b"\xff\xfe", b"\0",
    b"ab" * 4000, b"\t", b"\n", b"stack-9 none 0", bytes(8), b"x" * (1 << 17),
)  # fmt: skip


def _flip(random: Random, record: bytes) -> bytes:
    at = random.randrange(len(record))
    return record[:at] + bytes([record[at] ^ random.randrange(1, 256)]) + record[at + 1 :]


def _cut(random: Random, record: bytes) -> bytes:
    return record[: random.randrange(len(record))]


def _noise(random: Random, record: bytes) -> bytes:
    at = random.randrange(len(record))
    return record[:at] + random.randbytes(random.randrange(1, 20)) + record[at:]


def _number(random: Random, lines: list[Line]) -> None:
    line = random.choice([line for line in lines if line.numbers])
    line.numbers[random.choice(list(line.numbers))] = random.choice(NUMBERS)


def _near(random: Random, lines: list[Line]) -> None:
    line = random.choice([line for line in lines if line.numbers])
    line.numbers[random.choice(list(line.numbers))] += random.choice((-16, -8, -1, 1, 8, 16))


def _string(random: Random, lines: list[Line]) -> None:
    line = random.choice([line for line in lines if line.strings])
    name = random.choice(list(line.strings))
    whole = line.strings[name]
    line.strings[name] = random.choice((*STRINGS, whole[: random.randrange(len(whole) + 1)]))


def _exchange(random: Random, lines: list[Line]) -> None:
    """Give two values of a line the place of each other."""
    line = random.choice(lines)
    values: dict[str, Any] = cast(Any, random.choice((line.numbers, line.strings)))
    if values:
        one, other = random.choice(list(values)), random.choice(list(values))
        values[one], values[other] = values[other], values[one]


def _drop(random: Random, items: list[Line]) -> None:
    del items[random.randrange(len(items))]


def _double(random: Random, items: list[Line]) -> None:
    at = random.randrange(len(items))
    items.insert(random.randrange(len(items)), items[at])


def _swap(random: Random, items: list[Line]) -> None:
    one, other = random.randrange(len(items)), random.randrange(len(items))
    items[one], items[other] = items[other], items[one]


BYTES: Sequence[Callable[[Random, bytes], bytes]] = (_flip, _flip, _cut, _noise)
LINES: Sequence[Callable[[Random, list[Line]], None]] = (
    _number, _near, _string, _exchange, _drop, _double, _swap,
)  # fmt: skip


@dataclass(frozen=True)
class Mutated:
    """A boot in which one record is not as the guest's module wrote it."""

    # The changed record, counted from 0.
    index: int
    records: tuple[bytes, ...]
    # The checksum is right, so that only what the record says can be wrong.
    sealed: bool

    @property
    def is_changed(self) -> bool:
        return bool(self.records[self.index] != RECORDS[self.index])


def draw(random: Random) -> Mutated:
    """Draw a boot with a random change in a random record."""
    index = random.randrange(len(RECORDS))
    lines = taken_apart(RECORDS[index])
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        if lines:
            random.choice(LINES)(random, lines)
    record = joined(lines)
    is_sealed = True
    if random.random() < 0.4:
        record = random.choice(BYTES)(random, record)
        is_sealed = len(record) >= HEAD.size and random.random() < 0.7
        if is_sealed:
            record = sealed(record)
    return Mutated(index, (*RECORDS[:index], record, *RECORDS[index + 1 :]), is_sealed)


class _Channel:
    """A socket that receives given pieces, and then ends."""

    def __init__(self, pieces: Sequence[bytes], at_end: Callable[[], None]) -> None:
        self._pieces = list(pieces)
        self._at_end = at_end
        self._readable, writable = os.pipe()
        os.close(writable)

    def fileno(self) -> int:
        return self._readable

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        pass

    def recv(self, size: int, flags: int) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        self._at_end()
        return b""

    def close(self) -> None:
        os.close(self._readable)


class _Machine:
    """A QEMU that has sent everything, and has ended well."""

    too_small = ended_by_signal = suspended = False
    output = ""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.process = SimpleNamespace(wait=lambda seconds: 0)
        self.pidfd, self._alive = os.pipe()
        self.console, writable = os.pipe()
        os.write(writable, POWERED_OFF)
        os.close(writable)
        self.records = _Channel(pieces, self._end)

    def _end(self) -> None:
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1

    def close(self) -> None:
        self._end()
        self.records.close()
        os.close(self.pidfd)
        os.close(self.console)


def _pieces(random: Random, data: bytes) -> list[bytes]:
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((0, 1, 3))))
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


@functools.cache
def plan() -> list[Play]:
    """Return the plays of the recorded boot."""
    catalog = Catalog()
    return [Play(catalog.variants[variant], catalog.cases[case]) for variant, case in PLAYED]


def played(mutated: Mutated, random: Random) -> Batch[Outcome]:
    """Run with that boot as the first one; the guests of further boots send sound records."""
    lines = [play.line for play in plan()]
    boots = 0

    @contextmanager
    def playing(setup: Setup, plan: Sequence[str]) -> Iterator[Session]:
        nonlocal boots
        boots += 1
        said = mutated.records
        if boots > 1:
            rest = [RECORDS[lines.index(line)] for line in plan]
            said = tuple(numbered(record, number) for number, record in enumerate(rest, 1))
        machine = _Machine(_pieces(random, INTRODUCTION + b"".join(said)))
        session = Session(
            cast(Any, machine), deadlines=Deadlines(play=5, ping=1, end=5), preloaded=True
        )
        try:
            yield session
            session.power_off()
        finally:
            machine.close()

    release = taken_apart(INTRODUCTION)[0].strings["release"].decode()
    kernel = SimpleNamespace(
        spec="hostile", release=release, engine=SimpleNamespace(value="port"),
        jprobes="", variables=(),
    )  # fmt: skip
    setup = SimpleNamespace(
        kernel=kernel, modules=SimpleNamespace(compiler="", private_copies={}), observer=None,
        logs=SimpleNamespace(unwritten=()),
    )  # fmt: skip
    run = Boots(cast(Any, setup), repro._Plays(cast(Any, setup).modules, None), plan())
    with patch.object(batch, "playing", playing):
        run.play()
    return run.result()


def check(mutated: Mutated, result: Batch[Outcome]) -> None:
    """Every other play agrees, and nothing else than this one is blamed."""
    assert result.complete, result.errors
    assert not result.harness_errors
    assert not result.retried
    # Damage after the last play belongs to no play, and is the kernel's.
    last = mutated.index == len(RECORDS) - 1
    assert last or not result.kernel_errors, result.kernel_errors
    wrong = result.differing
    # A record that came twice, or in two parts, takes the place of the next one.
    places = {mutated.index, mutated.index + 1}
    for outcome in wrong:
        assert plan().index(outcome.play) in places, (str(outcome.play), outcome.reasons)
        assert all(reason.isprintable() for reason in outcome.reasons), outcome.reasons
    if mutated.is_changed and not mutated.sealed:
        assert wrong or result.kernel_errors
