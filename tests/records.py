# SPDX-License-Identifier: GPL-2.0-only
"""Take the guest's records apart, change them, and put them together again."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.guest.fields import LINES
from harness.guest.protocol import HEAD, MAGIC

_TAGS = {line.word: tag for tag, line in enumerate(LINES)}


@dataclass(frozen=True)
class Line:
    """A line as it is in a record, before any of it is understood."""

    word: str
    numbers: dict[str, int] = field(default_factory=dict)
    strings: dict[str, bytes] = field(default_factory=dict)

    @property
    def packed(self) -> bytes:
        """The line's bytes; the values have the order of LINES or, if it is another, their own."""
        numbers = b"".join(struct.pack("<Q", n & (1 << 64) - 1) for n in self.numbers.values())
        strings = b"".join(struct.pack("<I", len(s)) + s for s in self.strings.values())
        return bytes([_TAGS[self.word]]) + numbers + strings


def framed(body: bytes) -> bytes:
    """Return a record that has these bytes for its lines."""
    return HEAD.pack(MAGIC, len(body), zlib.crc32(body)) + body


def joined(lines: Sequence[Line]) -> bytes:
    """Return a record of these lines."""
    return framed(b"".join(line.packed for line in lines))


def split(said: bytes) -> list[bytes]:
    """Return the introduction and each record at the beginning of what a guest sent."""
    found = []
    while said.startswith(MAGIC):
        _, size, _ = HEAD.unpack_from(said)
        found.append(said[: HEAD.size + size])
        said = said[HEAD.size + size :]
    return found


def taken_apart(record: bytes) -> list[Line]:
    """Return the lines of a sound record."""
    body, at, found = record[HEAD.size :], 0, []
    while at < len(body):
        kind = LINES[body[at]]
        values = kind.packed.unpack_from(body, at + 1)
        at += 1 + kind.packed.size
        strings = {}
        for name in kind.strings:
            (length,) = struct.unpack_from("<I", body, at)
            strings[name] = body[at + 4 : at + 4 + length]
            at += 4 + length
        found.append(Line(kind.word, dict(zip(kind.numbers, values)), strings))
    return found


def sealed(record: bytes) -> bytes:
    """Return a record with its size and its checksum made right."""
    return framed(record[HEAD.size :])


def changed(record: bytes, word: str, **values: int | bytes) -> bytes:
    """Return a record with other values in the first line with that word."""

    def change(line: Line) -> Line:
        strings = {name: value for name, value in values.items() if isinstance(value, bytes)}
        numbers = {name: value for name, value in values.items() if isinstance(value, int)}
        assert strings.keys() <= line.strings.keys() and numbers.keys() <= line.numbers.keys()
        return replace(
            line, numbers={**line.numbers, **numbers}, strings={**line.strings, **strings}
        )

    return rewritten(record, word, lambda line: [change(line)])


def rewritten(record: bytes, word: str, make: Callable[[Line], list[Line]]) -> bytes:
    """Return a record with what `make` returns in place of the first line with that word."""
    lines = taken_apart(record)
    (at, *_) = (index for index, line in enumerate(lines) if line.word == word)
    return joined([*lines[:at], *make(lines[at]), *lines[at + 1 :]])


def numbered(record: bytes, number: int) -> bytes:
    """Return a record with another number in the plan, from 1."""
    return changed(record, "play", seq=number)


def line_of(record: bytes) -> str:
    """Return the line of the plan that a record answers."""
    return taken_apart(record)[0].strings["line"].decode()
