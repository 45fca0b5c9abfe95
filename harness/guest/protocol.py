# SPDX-License-Identifier: GPL-2.0-only
"""
A parser, without I/O, of the records that kernel-modules/probe-targets writes.

A record has a head of 12 bytes: a magic number, the last byte of which is the format's version,
the size of what follows, and its CRC-32.  What follows are lines, each of them a byte that says
which one it is, its numbers, and its strings; fields.py has them.  All numbers are little-endian.

The guest introduces itself with the line `guest`.  The record of a play has these lines, those in
brackets only where there is something to say:

    play [driven] stack count save area [arg ...] [object] [nested] [frame] taint

A storm's has, for each context, a stack, and for each CPU and context, a caller; a cost's and an
answer to what the guest is have one line of their own:

    play stack ... storm caller ... taint
    play stack cost taint
    play proof taint

A line that could not be played gets `play`, `error` and maybe `errno`.  A string of no bytes stands
for bytes that were not recorded.  A long line of the plan is cut.

On a serial line that the kernel's own messages share, a record is one line of hexadecimal.

A guest's shell also sends lines of text: the answer to "run COMMAND", the end of a plan that was
sent line by line, the public key of its SSH server, and the wish for a dump:

    run status=0 output=BASE64
    stream ended=1
    sshd key=BASE64
    dump wanted=1

The guest's kernel is under test, so nothing that it sends is trusted.  In place of anything
that the module cannot have written, the parser returns a DamagedRecord.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from struct import Struct

from harness.errors import InfrastructureError
from harness.guest.fields import ANSWERS, FieldError, Fields, answer, lines
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
from harness.model.observation import (
    CallerFrame,
    Counts,
    Driven,
    Look,
    Moment,
    Nested,
    Observation,
)
from harness.model.policy import Hit
from harness.model.storm import Caller, Storm

# Takes plans and gives records; plan.c creates it.
CASES_FILE = "/sys/kernel/debug/jprobe-harness/cases"
# Begins a record; no text has its first byte.
MAGIC = b"\x8aJP\x01"
# The magic number, the size of the lines, and their CRC-32.
HEAD = Struct("<4sII")
# The size of the module's buffer; see RECORD_SIZE in record.c.
RECORD_MAX = 128 << 10
# A command's output on one line, such as /proc/kallsyms with many modules.
OUTPUT_MAX = 64 << 20
# How many bytes of what is no record an error message has.
SHOWN = 60


class ProtocolError(InfrastructureError):
    """A record was damaged on a serial line that the kernel's own messages share."""


# The fields of a record's lines, by first word.
_Words = Mapping[str, list[Fields]]
_HEX = re.compile(rb"%s(?:[0-9a-f]{2}){%d,}" % (MAGIC.hex().encode(), HEAD.size - len(MAGIC)))
_ANSWER = re.compile(rb"(?:%s) [a-z]+=" % "|".join(ANSWERS).encode())


class Parser:
    """
    Parses records from bytes as they arrive.

    On a `shared` serial line, lines that are no record are ignored.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self._shared = shared
        # A record is one line of hexadecimal there.
        self._line_max = 2 * RECORD_MAX if shared else RECORD_MAX
        # What has arrived and was not parsed, and how much of it has no end of a line.
        self._data = bytearray()
        self._searched = 0
        self._guest: Introduction | None = None
        # Whether damage was already reported, so that all up to the next record is ignored.
        self._lost = False

    def feed(self, data: bytes) -> list[Record]:
        """Return the records that `data` completes, with a DamagedRecord for each bad one."""
        self._data += data
        return list(self._records())

    def _records(self) -> Iterator[Record]:
        while self._data:
            if self._lost and not self._shared:
                self._skip()
            binary = self._data.startswith(MAGIC[:1]) and not self._shared
            before = len(self._data)
            yield from self._binary() if binary else self._text()
            if len(self._data) == before:
                return

    def _take(self, size: int) -> bytes:
        """Take bytes from what has arrived."""
        taken = bytes(memoryview(self._data)[:size])
        del self._data[:size]
        self._searched = 0
        return taken

    def _skip(self) -> None:
        """Ignore all up to what may be a record or an answer."""
        begin, newline = self._data.find(MAGIC[:1]), self._data.find(b"\n")
        begins = [at for at in (begin, newline + 1 if newline >= 0 else -1) if at >= 0]
        self._take(min(begins, default=len(self._data)))

    def _binary(self) -> Iterator[Record]:
        """Take the record that has begun, if all of it has arrived."""
        if len(self._data) < HEAD.size:
            return
        magic, size, crc = HEAD.unpack_from(self._data)
        if magic != MAGIC or size > RECORD_MAX:
            self._take(1)
            yield from self._damaged("has a head that cannot be")
        elif len(self._data) >= HEAD.size + size:
            yield from self._record(self._take(HEAD.size + size)[HEAD.size :], crc)

    def _text(self) -> Iterator[Record]:
        """Take the line that has begun, if all of it has arrived."""
        end = self._data.find(b"\n", self._searched)
        binary = self._data.find(MAGIC[:1], self._searched, end if end >= 0 else None)
        if binary >= 0 and not self._shared:
            yield from self._damaged(f"is none: {_shown(self._take(binary))}")
            return
        if end < 0:
            self._searched = len(self._data)
            limit = OUTPUT_MAX if self._data.startswith(b"run ") else self._line_max
            if len(self._data) > limit:
                self._take(len(self._data))
                yield from self._damaged(f"is longer than {limit} bytes")
            return
        line = self._take(end + 1)[:-1].rstrip(b"\r")
        if self._shared and _HEX.fullmatch(line):
            data = bytes.fromhex(line.decode())
            _, size, crc = HEAD.unpack_from(data)
            body = data[HEAD.size :]
            yield from self._record(body, crc if size == len(body) else None)
        elif _ANSWER.match(line):
            yield from self._answer(line)
        else:
            yield from self._damaged(f"is none: {_shown(line)}")

    def _damaged(self, what: str) -> Iterator[DamagedRecord]:
        """Report damage once, and skip what comes until the next record begins."""
        if not (self._lost or self._shared):
            self._lost = True
            yield DamagedRecord(f"A record of the guest's {what}.")

    def _answer(self, line: bytes) -> Iterator[Record]:
        self._lost = False
        try:
            word, fields = answer(line)
            yield _ANSWERS[word](fields)
        except FieldError as error:
            yield DamagedRecord(f"The guest sent {error}.")

    def _record(self, body: bytes, crc: int | None) -> Iterator[Record]:
        """Yield the record that these lines are."""
        try:
            if zlib.crc32(body) != crc:
                raise FieldError("a wrong checksum")
            by_word: dict[str, list[Fields]] = defaultdict(list)
            for word, fields in lines(body):
                by_word[word].append(fields)
            record = self._known(by_word)
        except FieldError as error:
            self._lost = True
            yield DamagedRecord(f"A record of the guest's has {error}.")
        else:
            self._lost = False
            yield record

    def _known(self, by_word: _Words) -> Record:
        if "guest" in by_word:
            if self._guest is not None:
                raise FieldError("an introduction, which it sent before")
            self._guest = _guest(by_word)
            return self._guest
        if self._guest is None:
            raise FieldError("come before the guest introduced itself")
        return _played(by_word, self._guest)


def _shown(line: bytes) -> str:
    """Return the beginning of an unknown line, for an error message."""
    return ascii(line[:SHOWN].decode("ascii", "replace"))


_ANSWERS: Mapping[str, Callable[[Fields], Ran | HostKey | DumpRequest | StreamEnd]] = {
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
    before: int = fields["before"]
    after: int = fields["after"]
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
    driven, moment = _maybe(by_word, "driven"), _maybe(by_word, "moment")
    arguments = {fields["index"]: _look(fields) for fields in by_word.get("arg", ())}
    if len(arguments) != len(by_word.get("arg", ())):
        raise FieldError("an argument twice")
    context: Context = stack["context"]
    return Observation(
        **play,
        hit=_hit(stack, guest),
        context=context,
        counts=Counts(**count),
        saved=save["saved"] if save["known"] else None,
        overflow=save["overflow"] if save["known"] else None,
        area=_area(area),
        arguments=arguments,
        object=_look(looked) if looked else None,
        node=looked["node"] if looked else 0,
        nested=_nested(nested) if nested else None,
        frame=CallerFrame(**frame) if frame else None,
        driven=Driven(**driven) if driven else None,
        moment=Moment(**moment) if moment else None,
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
