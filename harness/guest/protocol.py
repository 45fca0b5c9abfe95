# SPDX-License-Identifier: GPL-2.0-only
"""
A parser, without I/O, of the records that kernel-modules/probe-targets writes.

    guest release=6.1.0 thread_size=16384 irq_stack_size=16384 cases=70
    end seq=0 crc=0b5f1a02
    play seq=1 line=stack-9 none 0
    stack sp=... fp=... top=... irq=0 context=process
    count hits=1 handler=1 target=1 missed=0 skipped=0
    save saved=0 overflow=0
    area before=HEX after=HEX seen=HEX
    arg index=8 at=... before= after= seen=HEX
    object node=... at=... before=HEX after=HEX seen=HEX
    nested hits=1 handler=0 target=1 missed=1 skipped=0 sent=HEX seen=HEX
    frame passed=HEX arrived=HEX before=HEX after=HEX seen=HEX
    taint before=1000 after=1000
    end seq=1 crc=89e77985

In a storm's record, these lines replace all but `play` and `taint`:

    stack sp=... fp=... top=... irq=0 context=process
    stack sp=... fp=... top=... irq=1 context=hardirq
    storm milliseconds=10004 hits=9 missed=1 skipped=0
    caller cpu=0 context=process calls=5 handler=5 target=5 corrupt=5 wrong=0 at_once=1
    caller cpu=0 context=hardirq calls=4 handler=3 target=4 corrupt=3 wrong=0 at_once=1

In a cost's record, this line replaces all but `play`, `stack` and `taint`:

    cost hits=9 handler=9 target=9 bare=3 probed=800 frequency=62500000 ...
        instructions=200000 ticks=12500

In answer to a line that asks what the guest is, this one replaces all but `play` and `taint`:

    proof release=6.1.0 notes=BASE64

Addresses and taint are hexadecimal, counts decimal; an empty HEX stands for bytes that
were not recorded.  A long `line` is cut.  The checksum is the CRC-32 of all lines of the
record before `end`.
A guest without a plan also answers "run COMMAND", and the end of a plan that was sent line
by line, with

    run status=0 output=BASE64
    stream ended=1

and a guest that serves SSH sends its public host key after its introduction

    sshd key=BASE64

The guest's kernel is under test, so nothing that it sends is trusted.  In place of anything
that the module cannot have written, the parser returns a DamagedRecord.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from harness.errors import InfrastructureError
from harness.guest.fields import FieldError, Fields, parse
from harness.guest.records import (
    DamagedRecord,
    DumpRequest,
    HostKey,
    Introduction,
    Proof,
    Ran,
    Record,
    Refusal,
    StreamEnd,
)
from harness.model.context import Context
from harness.model.cost import CostRecord
from harness.model.observation import CallerFrame, Counts, Look, Nested, Observation
from harness.model.policy import Hit
from harness.model.storm import Caller, Storm

# Takes plans and gives records; plan.c creates it.
CASES_FILE = "/sys/kernel/debug/jprobe-harness/cases"
# The size of the module's buffer; see RECORD_SIZE in record.c.
RECORD_MAX = 128 << 10
# A command's output on one line, such as /proc/kallsyms with many modules.
OUTPUT_MAX = 64 << 20
# How many bytes of an unknown line an error message has.
SHOWN = 60


class ProtocolError(InfrastructureError):
    """A record was damaged on a serial line that the kernel's own messages share."""


# The fields of a record's lines, by first word.
_Words = Mapping[str, list[Fields]]
_BEGINNINGS = (b"guest ", b"play ")
# Records of one line, without an end.
_ALONE = (b"run ", b"sshd ", b"dump ", b"stream ")
_BODY = (
    b"stack ", b"count ", b"save ", b"area ", b"arg ", b"object ", b"nested ", b"frame ",
    b"storm ", b"caller ", b"cost ", b"proof ", b"taint ", b"error ", b"errno ", b"end ",
)  # fmt: skip
_RECORD_LINE = re.compile(
    rb"(?:%s)[a-z_]+=" % b"|".join((*_BEGINNINGS, *_ALONE, *_BODY)),
)
_PLAY = re.compile(rb"play seq=(\d{1,9}) ")


class Parser:
    """
    Parses records from bytes as they arrive.

    On a `shared` serial line, lines that belong to no record are ignored.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self._shared = shared
        # The line that has not ended: its first bytes, and all its pieces, which are joined later.
        self._beginning = b""
        self._pieces: list[bytes] = []
        self._unended = 0
        # The lines of the record that has not ended, and their size.
        self._lines: list[bytes] = []
        self._size = 0
        self._guest: Introduction | None = None
        # Whether damage was already reported, so that lines up to the next record are ignored.
        self._lost = False

    def feed(self, data: bytes) -> list[Record]:
        """Return the records that `data` completes, with a DamagedRecord for each bad one."""
        return list(self._records(data))

    def _records(self, data: bytes) -> Iterator[Record]:
        first, *others = data.split(b"\n")
        yield from self._piece(first)
        for other in others:
            line = b"".join(self._pieces).rstrip(b"\r")
            self._beginning, self._pieces, self._unended = b"", [], 0
            yield from self._line(line)
            yield from self._piece(other)

    def _piece(self, data: bytes) -> Iterator[DamagedRecord]:
        """Take a part of a line, which may not be its end."""
        self._pieces.append(data)
        self._unended += len(data)
        self._beginning = (self._beginning + data[:SHOWN])[:SHOWN]
        limit = OUTPUT_MAX if self._beginning.startswith(b"run ") else RECORD_MAX
        if self._unended > limit:
            self._pieces, self._unended = [self._beginning], len(self._beginning)
            if not self._shared:
                yield from self._damaged(f"A line of the guest's is longer than {limit} bytes")

    def _damaged(self, what: str) -> Iterator[DamagedRecord]:
        """Report damage once, and skip lines until the next record begins."""
        self._lines, self._size = [], 0
        if not self._lost:
            self._lost = True
            yield DamagedRecord(f"{what}.")

    def _line(self, line: bytes) -> Iterator[Record]:
        known = bool(_RECORD_LINE.match(line))
        if not known and self._shared:
            return
        if line.startswith(_BEGINNINGS) and known:
            if self._lines:
                yield from self._damaged("A record of the guest's lacks its end")
            self._lost = False
        elif known and line.startswith(_ALONE):
            yield from self._alone(line)
            return
        elif self._lost:
            return
        elif not self._lines:
            what = "lacks its beginning" if known else f"is none: {_shown(line)}"
            yield from self._damaged(f"A record of the guest's {what}")
            return
        self._lines.append(line)
        self._size += len(line) + 1
        if self._size > RECORD_MAX:
            yield from self._damaged(f"A record of the guest's is over {RECORD_MAX >> 10} KiB")
        elif line.startswith(b"end "):
            lines, self._lines, self._size = self._lines, [], 0
            yield from self._sound(lines)

    def _alone(self, line: bytes) -> Iterator[Record]:
        try:
            yield _ALONE_RECORDS[line.split(b" ", 1)[0].decode()](parse(line)[1])
        except FieldError as error:
            yield DamagedRecord(f"The guest sent {error}.")

    def _sound(self, lines: Sequence[bytes]) -> Iterator[Record]:
        """Yield the record of these lines, the last of which is its end."""
        *body, end = lines
        try:
            yield self._record(body, end)
        except FieldError as error:
            play = _PLAY.match(lines[0])
            which = f"Record {play[1].decode()}" if play else "A record"
            yield from self._damaged(f"{which} of the guest's has {error}")

    def _record(self, body: Sequence[bytes], end: bytes) -> Record:
        _, ending = parse(end)
        if ending["crc"] != zlib.crc32(b"".join(line + b"\n" for line in body)):
            raise FieldError("a wrong checksum")
        by_word: dict[str, list[Fields]] = defaultdict(list)
        for line in body:
            word, fields = parse(line)
            by_word[word].append(fields)
        if "guest" in by_word:
            if self._guest is not None:
                raise FieldError("an introduction, which it sent before")
            self._guest = _guest(by_word)
            return self._guest
        if self._guest is None:
            raise FieldError("come before the guest introduced itself")
        if ending["seq"] != _one(by_word, "play")["seq"]:
            raise FieldError("two numbers")
        return _played(by_word, self._guest)


def _shown(line: bytes) -> str:
    """Return the beginning of an unknown line, for an error message."""
    return ascii(line[:SHOWN].decode("ascii", "replace"))


_ALONE_RECORDS: Mapping[str, Callable[[Fields], Ran | HostKey | DumpRequest | StreamEnd]] = {
    "run": lambda fields: Ran(fields["status"], fields["output"]),
    "sshd": lambda fields: HostKey(fields["key"]),
    "dump": lambda fields: DumpRequest(),
    "stream": lambda fields: StreamEnd(),
}


def _guest(by_word: _Words) -> Introduction:
    guest = Introduction(**_one(by_word, "guest"))
    if len(by_word) > 1 or guest.thread_size % PAGE or guest.irq_stack_size % ALIGNED:
        raise FieldError("sizes of stacks that cannot be")
    return guest


# arm64's smallest page, and SP's alignment (AAPCS64, 6.4.5.1).
PAGE = 4096
ALIGNED = 16


def _hit(fields: Fields, guest: Introduction) -> Hit:
    hit = Hit(
        sp=fields["sp"],
        fp=fields["fp"],
        top=fields["top"],
        irq=fields["irq"],
        irq_stack_size=guest.irq_stack_size,
    )
    # A probe that was not hit has no stack.
    if hit.sp == hit.fp == hit.top == 0:
        return hit
    size = guest.irq_stack_size if hit.irq else guest.thread_size
    if hit.sp % ALIGNED or hit.top % ALIGNED or not 0 < hit.top - hit.sp <= size:
        raise FieldError(f"a stack that cannot be, from {hit.sp:#x} to {hit.top:#x}")
    return hit


def _new_taint(fields: Fields) -> int:
    before, after = int(fields["before"]), int(fields["after"])
    return after & ~before


def _played(by_word: _Words, guest: Introduction) -> Record:
    """Return the record of a line of the plan."""
    play = _one(by_word, "play")
    if "error" in by_word:
        words = [_one(by_word, "error")["text"]]
        words += [str(fields["value"]) for fields in by_word.get("errno", ())]
        return Refusal(play["seq"], play["line"], " ".join(words))
    for word, make in _MEASURED.items():
        if word in by_word:
            return make(by_word, guest)
    return _observation(by_word, guest)


def _storm(by_word: _Words, guest: Introduction) -> Storm:
    play, storm, taint = (_one(by_word, word) for word in ("play", "storm", "taint"))
    stacks = {fields["context"]: _hit(fields, guest) for fields in by_word.get("stack", ())}
    if len(stacks) != len(by_word.get("stack", ())):
        raise FieldError("two stacks of one context")
    return Storm(
        **play,
        **storm,
        stacks=stacks,
        callers=tuple(Caller(**fields) for fields in by_word.get("caller", ())),
        new_taint=_new_taint(taint),
    )


def _cost(by_word: _Words, guest: Introduction) -> CostRecord:
    play, stack, cost, taint = (_one(by_word, word) for word in ("play", "stack", "cost", "taint"))
    return CostRecord(**play, hit=_hit(stack, guest), **cost, new_taint=_new_taint(taint))


def _proof(by_word: _Words, guest: Introduction) -> Proof:
    return Proof(**_one(by_word, "play"), **_one(by_word, "proof"))


# By the word of a line that only this kind of record has.
_MEASURED: Mapping[str, Callable[[_Words, Introduction], Record]] = {
    "storm": _storm,
    "cost": _cost,
    "proof": _proof,
}


def _observation(by_word: _Words, guest: Introduction) -> Observation:
    words = ("play", "stack", "count", "save", "area", "taint")
    play, stack, count, save, area, taint = (_one(by_word, word) for word in words)
    looked = _maybe(by_word, "object")
    nested, frame = _maybe(by_word, "nested"), _maybe(by_word, "frame")
    arguments = {fields["index"]: _look(fields) for fields in by_word.get("arg", ())}
    if len(arguments) != len(by_word.get("arg", ())):
        raise FieldError("an argument twice")
    context: Context = stack["context"]
    return Observation(
        **play,
        hit=_hit(stack, guest),
        context=context,
        counts=Counts(**count),
        saved=save["saved"],
        overflow=save["overflow"],
        area=_area(area),
        arguments=arguments,
        object=_look(looked) if looked else None,
        node=looked["node"] if looked else 0,
        nested=_nested(nested) if nested else None,
        frame=CallerFrame(**frame) if frame else None,
        new_taint=_new_taint(taint),
    )


def _one(by_word: _Words, word: str) -> Fields:
    """Return the fields of a line that must occur exactly once; raise FieldError."""
    found = by_word.get(word, [])
    if len(found) != 1:
        raise FieldError(f"{len(found)} lines '{word}', and not one")
    return found[0]


def _maybe(by_word: _Words, word: str) -> Fields | None:
    """Return the fields of a line that may occur once, or None; raise FieldError."""
    return _one(by_word, word) if word in by_word else None


_MOMENTS = ("before", "after", "seen")


def _look(fields: Fields) -> Look:
    look = Look(fields["at"], *(fields[name] for name in _MOMENTS))
    _check_sizes(look)
    return look


def _area(fields: Fields) -> Look:
    """Return an argument area, whose bytes may be empty although they were recorded."""
    look = Look(0, *(fields[name] or b"" for name in _MOMENTS))
    _check_sizes(look)
    return look


def _check_sizes(look: Look) -> None:
    sizes = {len(moment) for moment in (look.before, look.after, look.seen) if moment}
    if len(sizes) > 1:
        raise FieldError("bytes of one place in two sizes")


def _nested(fields: Fields) -> Nested:
    counts = {field.name: fields[field.name] for field in dataclasses.fields(Counts)}
    sent, seen = fields["sent"] or b"", fields["seen"] or b""
    if len(sent) != len(seen):
        raise FieldError("a nested call of two sizes")
    return Nested(Counts(**counts), sent, seen)
