# SPDX-License-Identifier: GPL-2.0-only
"""The lines of the guest's records, and its answers: each a word and fields of bounded types."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from struct import Struct
from typing import Any

from harness.model.context import Context


class FieldError(Exception):
    """What the module cannot have written; the text is the end of a sentence about it."""


# Values by field name, each of the type in LINES or ANSWERS.
Fields = Mapping[str, Any]
# These turn what was sent into a field's value; they raise ValueError.
Number = Callable[[int], Any]
String = Callable[[bytes], Any]

# How many characters of an invalid value an error message has.
_SHOWN = 40
_LENGTH = Struct("<I")
# An ed25519 key of SSH's, which is 51 bytes (RFC 8709, section 4).
_HOST_KEY = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"
_HOST_KEY_SIZE = 51


def _within(low: int, high: int) -> Number:
    """Return a type for numbers from `low` to `high`."""

    def read(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(value)
        return value

    return read


def _any(value: int) -> int:
    return value


def _address(value: int) -> int:
    return value & 0xFFFF_FFFF_FFFF_FFFF


def _context(value: int) -> Context:
    return _CONTEXTS[_small(value)]


def _flag(value: int) -> bool:
    return bool(_within(0, 1)(value))


_CONTEXTS = dict(enumerate(Context))
_positive = _within(1, 10**18)
# The number of a play, of an argument, of a CPU.
_small = _within(0, 10**9)
# The size of a stack in bytes; the largest stack that arm64 can be configured with has 128 KiB.
_size = _within(0, 10**6)
# Of a program, as wait(2) has it.
_status = _within(0, 0xFFFF)
# Bytes of a stack, or -1.
_saved = _within(-1, 10**6)


def _octets(data: bytes) -> bytes | None:
    """Return the bytes, or None for none, which means that they were not recorded."""
    return data or None


def _matching(pattern: bytes) -> String:
    """Return a type for texts that match `pattern`, which has only ASCII."""
    compiled = re.compile(pattern)

    def read(data: bytes) -> str:
        if not compiled.fullmatch(data):
            raise ValueError(data)
        return data.decode("ascii")

    return read


def _decimal(data: bytes) -> int:
    return int(_digits(data))


def _base64(data: bytes) -> bytes:
    return base64.b64decode(data, validate=True)


def _output(data: bytes) -> str:
    return _base64(data).decode(errors="replace")


def _host_key(data: bytes) -> str:
    key = _base64(data)
    if len(key) != _HOST_KEY_SIZE or not key.startswith(_HOST_KEY):
        raise ValueError(data)
    return data.decode("ascii")


_text = _matching(rb"[ -~]*")
_word = _matching(rb"[!-~]{1,64}")
_digits = _matching(rb"\d{1,3}")


@dataclass(frozen=True)
class Line:
    """A kind of line: its word, its numbers of 8 bytes, and its strings."""

    word: str
    numbers: Mapping[str, Number]
    strings: Mapping[str, String]

    @cached_property
    def packed(self) -> Struct:
        """The numbers, in little-endian order."""
        return Struct(f"<{len(self.numbers)}q")


_COUNTS = dict.fromkeys(("hits", "handler", "target", "missed", "skipped"), _any)
_MOMENTS = dict.fromkeys(("before", "after", "seen"), _octets)
_CALLER = dict.fromkeys(("calls", "handler", "target", "corrupt", "wrong", "at_once"), _any)
_COST = {
    **dict.fromkeys(("hits", "handler", "target", "bare", "probed"), _any),
    **dict.fromkeys(("frequency", "instructions"), _positive),
    "ticks": _any,
}
# In the order of enum record_line in kernel-modules/probe-targets/record.h.
LINES = (
    Line(
        "guest",
        {"thread_size": _size, "irq_stack_size": _size, "cases": _small},
        {"release": _word},
    ),
    Line("play", {"seq": _small}, {"line": _text}),
    Line(
        "stack",
        {**dict.fromkeys(("sp", "fp", "top"), _address), "irq": _flag, "context": _context},
        {},
    ),
    Line("count", _COUNTS, {}),
    Line("save", {"known": _flag, "saved": _saved, "overflow": _saved}, {}),
    Line("area", {}, _MOMENTS),
    Line("arg", {"index": _small, "at": _address}, _MOMENTS),
    Line("object", {"node": _address, "at": _address}, _MOMENTS),
    Line("nested", _COUNTS, {"sent": _octets, "seen": _octets}),
    Line("frame", {}, {"passed": _octets, "arrived": _octets, **_MOMENTS}),
    Line("storm", dict.fromkeys(("milliseconds", "hits", "missed", "skipped"), _any), {}),
    Line("caller", {"cpu": _small, "context": _context, **_CALLER}, {}),
    Line("cost", _COST, {}),
    Line("proof", {"reseeded": _flag}, {"release": _word, "notes": _base64}),
    Line("taint", {"before": _address, "after": _address}, {}),
    Line("error", {}, {"text": _text}),
    Line("errno", {"value": _any}, {}),
    Line("driven", {"status": _status}, {"passed": _octets, "arrived": _octets, "effect": _text}),
    Line("moment", {"time": _address, "cpu": _small, "pid": _small}, {}),
)
# What a guest's shell sends, by first word: fields of text.
ANSWERS: Mapping[str, Mapping[str, String]] = {
    "run": {"status": _decimal, "output": _output},
    "stream": {"ended": _decimal},
    "sshd": {"key": _host_key},
    "dump": {"wanted": _decimal},
}


def _error(word: str, name: str, value: object) -> FieldError:
    shown = ascii(value)
    return FieldError(f"{name}={shown[:_SHOWN]} in '{word}'")


def lines(body: bytes) -> list[tuple[str, Fields]]:
    """Return the word and the values of each of a record's lines; raise FieldError."""
    found = []
    at = 0
    while at < len(body):
        if body[at] >= len(LINES):
            raise FieldError(f"an unknown line {body[at]}")
        line = LINES[body[at]]
        values, at = _values(line, body, at + 1)
        found.append((line.word, values))
    return found


def _values(line: Line, body: bytes, at: int) -> tuple[Fields, int]:
    """Return the values of the line at an offset, and the offset of the next one."""
    values: dict[str, Any] = {}
    if at + line.packed.size > len(body):
        raise FieldError(f"an end in '{line.word}'")
    for (name, read), number in zip(line.numbers.items(), line.packed.unpack_from(body, at)):
        try:
            values[name] = read(number)
        except (ValueError, KeyError) as error:
            raise _error(line.word, name, number) from error
    at += line.packed.size
    for name, convert in line.strings.items():
        if at + _LENGTH.size > len(body):
            raise FieldError(f"an end in '{line.word}'")
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        data = body[at : at + length]
        if len(data) < length:
            raise FieldError(f"an end in '{line.word}'")
        at += length
        try:
            values[name] = convert(data)
        except ValueError as error:
            raise _error(line.word, name, data) from error
    return values, at


def answer(line: bytes) -> tuple[str, Fields]:
    """Return an answer's word and values; raise FieldError unless it has its fields, in order."""
    first, _, rest = line.partition(b" ")
    word = first.decode("ascii", "replace")
    values: dict[str, Any] = {}
    for name, convert in ANSWERS[word].items():
        found, equals, rest = rest.partition(b"=")
        if found.decode("ascii", "replace") != name or not equals:
            raise FieldError(f"{found[:_SHOWN]!a} in place of '{name}' in '{word}'")
        value, _, rest = rest.partition(b" ")
        try:
            values[name] = convert(value)
        except ValueError as error:
            raise _error(word, name, value) from error
    if rest:
        raise FieldError(f"{rest[:_SHOWN]!a} too much in '{word}'")
    return word, values
