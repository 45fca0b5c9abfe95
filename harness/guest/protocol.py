# SPDX-License-Identifier: GPL-2.0-only
"""
The guest's records: a pure parser of what kernel-modules/probe-targets writes.

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

A storm's record has in place of all but `play` and `taint`

    stack sp=... fp=... top=... irq=0 context=process
    stack sp=... fp=... top=... irq=1 context=hardirq
    storm milliseconds=10004 hits=9 missed=1 skipped=0
    caller cpu=0 context=process calls=5 handler=5 target=5 corrupt=5 wrong=0 at_once=1
    caller cpu=0 context=hardirq calls=4 handler=3 target=4 corrupt=3 wrong=0 at_once=1

A cost's has in place of all but `play`, `stack` and `taint`

    cost hits=9 handler=9 target=9 bare=3 probed=800 frequency=62500000 ...
        instructions=200000 ticks=12500

Addresses and taint are hexadecimal, counts decimal; an empty HEX was not looked
at.  A long `line` is cut.  The checksum is CRC-32 of all lines of the record before
`end`.
A guest without a plan also answers "run COMMAND" with

    run status=0 output=BASE64

and one that serves SSH tells its public host key after its introduction

    sshd key=BASE64
"""

from __future__ import annotations

import base64
import dataclasses
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from harness.errors import InfrastructureError
from harness.model.case import Context
from harness.model.cost import Cost
from harness.model.observation import Counts, Frame, Look, Nested, Observation
from harness.model.policy import Hit
from harness.model.storm import Caller, Storm
from harness.printable import shown


class ProtocolError(InfrastructureError):
    """A record that the guest's module cannot have written."""


@dataclass(frozen=True)
class Guest:
    """What the guest says of itself, once."""

    release: str
    thread_size: int
    irq_stack_size: int
    # Cases that the module knows.
    cases: int


@dataclass(frozen=True)
class Refusal:
    """The guest could not play a line of the plan."""

    seq: int
    # The plan's line, as the guest read it.
    line: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Ran:
    """A command that the guest's shell ran."""

    status: int
    # Standard output and error, as they came.
    output: str


@dataclass(frozen=True)
class HostKey:
    """The public key of the guest's SSH server."""

    # Of type ssh-ed25519, as in a known_hosts file.
    key: str


@dataclass(frozen=True)
class DumpRequest:
    """Somebody in the guest wants a dump of it."""


T = TypeVar("T")
# The fields of a record's lines, by first word.
_Words = Mapping[str, list[dict[str, str]]]
HINT = "On a serial line shared with printk this happens: run again."
# Of a plan's line, so many characters come back.
LINE_SHOWN = 64
Record = Guest | Observation | Storm | Cost | Refusal | Ran | HostKey | DumpRequest

_WORDS = (
    "guest",
    "play",
    "stack",
    "count",
    "save",
    "area",
    "arg",
    "object",
    "nested",
    "frame",
    "storm",
    "caller",
    "cost",
    "taint",
    "error",
    "errno",
    "end",
    "run",
    "sshd",
    "dump",
)
_RECORD_LINE = re.compile(rb"(?:%s) [a-z_]+=" % "|".join(_WORDS).encode())


class Parser:
    """Turns bytes, as they come, into records."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._guest: Guest | None = None

    def feed(self, data: bytes) -> list[Record]:
        """
        The records that `data` completes.

        Lines that are no record's, such as the kernel's own on a shared serial
        console, are passed over.  Raises ProtocolError for a damaged record.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        records: list[Record] = []
        for line in lines:
            line = line.rstrip(b"\r")
            if not _RECORD_LINE.match(line):
                continue
            word = line.split(b" ", 1)[0]
            if alone := _ALONE.get(word):
                records.append(_sound(alone, line))
                continue
            if (word in (b"guest", b"play")) == bool(self._lines):
                raise ProtocolError(
                    "A record of the guest's lacks its end." if self._lines else
                    "A record of the guest's lacks its beginning.",
                    HINT,
                )  # fmt: skip
            self._lines.append(line)
            if word == b"end":
                lines_, self._lines = self._lines, []
                records.append(self._record(lines_))
        return records

    def _record(self, lines: list[bytes]) -> Record:
        *body, end = lines
        fields = _fields(end)
        crc = zlib.crc32(b"".join(line + b"\n" for line in body))
        if fields.get("crc") != f"{crc:08x}":
            raise ProtocolError(f"Record {fields.get('seq')} of the guest's is damaged.", HINT)
        if body[0].startswith(b"guest "):
            self._guest = _sound(_guest, body[0])
            return self._guest
        if self._guest is None:
            raise ProtocolError("The guest sent a record before it told its stack sizes.", HINT)
        guest = self._guest
        return _sound(lambda _: _played(body, guest), end)


def _sound(make: Callable[[bytes], T], line: bytes) -> T:
    """make(line), where a field that is not there makes a ProtocolError."""
    try:
        return make(line)
    except (KeyError, ValueError) as error:
        raise ProtocolError(
            f"A record of the guest's lacks {error}.",
            "The modules and this harness may be of different versions.",
        ) from error


def _fields(line: bytes) -> dict[str, str]:
    """The values after the first word; `line` and `text` run to the end of it."""
    text = shown(line.decode("ascii", "replace")).partition(" ")[2]
    fields = {}
    while text:
        name, _, text = text.partition("=")
        if name in ("line", "text"):
            value, text = text, ""
        else:
            value, _, text = text.partition(" ")
        fields[name] = value
    return fields


def _guest(line: bytes) -> Guest:
    fields = _fields(line)
    return Guest(
        fields["release"],
        int(fields["thread_size"]),
        int(fields["irq_stack_size"]),
        int(fields["cases"]),
    )


def _ran(line: bytes) -> Ran:
    fields = _fields(line)
    output = base64.b64decode(fields["output"]).decode(errors="replace")
    return Ran(int(fields["status"]), output)


def _host_key(line: bytes) -> HostKey:
    return HostKey(_fields(line)["key"])


# Records of one line, without an end.
_ALONE: Mapping[bytes, Callable[[bytes], Ran | HostKey | DumpRequest]] = {
    b"run": _ran,
    b"sshd": _host_key,
    b"dump": lambda line: DumpRequest(),
}


def _moment(fields: dict[str, str], name: str) -> bytes | None:
    return bytes.fromhex(fields[name]) if fields[name] else None


def _look(fields: dict[str, str]) -> Look:
    moments = (_moment(fields, name) for name in ("before", "after", "seen"))
    return Look(int(fields.get("at", "0"), 16), *moments)


def _frame(fields: dict[str, str]) -> Frame:
    return Frame(**{f.name: _moment(fields, f.name) for f in dataclasses.fields(Frame)})


def _hit(fields: dict[str, str], guest: Guest) -> Hit:
    return Hit(
        sp=int(fields["sp"], 16),
        fp=int(fields["fp"], 16),
        top=int(fields["top"], 16),
        irq=fields["irq"] == "1",
        irq_stack_size=guest.irq_stack_size,
    )


def _new_taint(fields: dict[str, str]) -> int:
    return int(fields["after"], 16) & ~int(fields["before"], 16)


def _played(lines: list[bytes], guest: Guest) -> Record:
    """What became of a line of the plan."""
    by_word: dict[str, list[dict[str, str]]] = defaultdict(list)
    for line in lines:
        by_word[line.split(b" ", 1)[0].decode()].append(_fields(line))
    play = _one(by_word, "play")
    if "error" in by_word:
        words = [by_word["error"][0]["text"], *(f["value"] for f in by_word["errno"])]
        return Refusal(int(play["seq"]), play["line"], " ".join(words))
    for word, make in _MEASURED.items():
        if word in by_word:
            return make(by_word, guest)
    return _observation(by_word, guest)


def _storm(by_word: _Words, guest: Guest) -> Storm:
    play, storm, taint = (_one(by_word, word) for word in ("play", "storm", "taint"))
    return Storm(
        seq=int(play["seq"]),
        line=play["line"],
        **{name: int(storm[name]) for name in ("milliseconds", "hits", "missed", "skipped")},
        stacks={Context(fields["context"]): _hit(fields, guest) for fields in by_word["stack"]},
        callers=tuple(_caller(fields) for fields in by_word["caller"]),
        new_taint=_new_taint(taint),
    )


def _caller(fields: dict[str, str]) -> Caller:
    numbers = [field.name for field in dataclasses.fields(Caller) if field.name != "context"]
    return Caller(
        context=Context(fields["context"]), **{name: int(fields[name]) for name in numbers}
    )


_COST_NUMBERS = (
    "hits", "handler", "target", "bare", "probed", "frequency", "instructions", "ticks",
)  # fmt: skip


def _cost(by_word: _Words, guest: Guest) -> Cost:
    play, stack, cost, taint = (_one(by_word, word) for word in ("play", "stack", "cost", "taint"))
    return Cost(
        seq=int(play["seq"]),
        line=play["line"],
        hit=_hit(stack, guest),
        **{name: int(cost[name]) for name in _COST_NUMBERS},
        new_taint=_new_taint(taint),
    )


# By the line that only they have.
_MEASURED: Mapping[str, Callable[[_Words, Guest], Record]] = {"storm": _storm, "cost": _cost}


def _observation(by_word: _Words, guest: Guest) -> Observation:
    words = ("play", "stack", "count", "save", "area", "taint")
    play, stack, count, save, area, taint = (_one(by_word, word) for word in words)
    objects, nested, frames = (by_word.get(word) for word in ("object", "nested", "frame"))
    return Observation(
        seq=int(play["seq"]),
        line=play["line"],
        hit=_hit(stack, guest),
        context=Context(stack["context"]),
        counts=_counts(count),
        saved=_told(save["saved"]),
        overflow=_told(save["overflow"]),
        area=_area(area),
        arguments={int(fields["index"]): _look(fields) for fields in by_word.get("arg", ())},
        object=_look(objects[0]) if objects else None,
        node=int(objects[0]["node"], 16) if objects else 0,
        nested=_nested(nested[0]) if nested else None,
        frame=_frame(frames[0]) if frames else None,
        new_taint=_new_taint(taint),
    )


def _told(number: str) -> int | None:
    """A kernel that follows its own policy does not tell what it saved."""
    return None if number == "unknown" else int(number)


def _one(by_word: _Words, word: str) -> dict[str, str]:
    """The fields of a line that comes exactly once."""
    found = by_word.get(word, [])
    if len(found) != 1:
        raise KeyError(word)
    return found[0]


def _counts(fields: dict[str, str]) -> Counts:
    return Counts(**{field.name: int(fields[field.name]) for field in dataclasses.fields(Counts)})


def _nested(fields: dict[str, str]) -> Nested:
    return Nested(_counts(fields), bytes.fromhex(fields["sent"]), bytes.fromhex(fields["seen"]))


def _area(fields: dict[str, str]) -> Look:
    """An argument area may be empty, which is not the same as not looked at."""
    return Look(0, *(bytes.fromhex(fields[name]) for name in ("before", "after", "seen")))
