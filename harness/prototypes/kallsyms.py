# SPDX-License-Identifier: GPL-2.0-only
"""
Reads the symbols that a kernel's Image has for /proc/kallsyms; no I/O.

scripts/kallsyms.c writes them: names in which one byte stands for a string of characters (a
token), and behind them a table of the tokens.  Where the tables lie is in no header, so they are
found by what they must contain, and taken only if they fit each other to the byte.
"""

from __future__ import annotations

import itertools
import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKENS = 256
# Each character that a name has is a token of its own, and all digits are in names.
_DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
_FIRST_DIGIT = ord("0")
# One marker for so many names: the offset of the first of them.
_EACH_MARKER = 256
# The first marker, and how many bytes a name has on average between it and the second.
_FIRST_MARKERS = frozenset((0, size) for size in range(3, 512))
# What each table is aligned to: to 8 bytes, in newer kernels to 4.
_ALIGNS = (8, 4)
_BASE = 8
# How far the names may lie before the tokens, and how many there may be.
_NAMES_MAX = 1 << 25
_COUNTS = (1000, 10_000_000)
# The letters of nm(1), and those of functions.
_LETTERS = frozenset(b"aAbBcCdDgGiInNpPrRsStTuUvVwW?")
_FUNCTIONS = frozenset("tTwW")


@dataclass(frozen=True)
class ImageSymbol:
    """One of the kernel's own symbols."""

    name: str
    # The letter that nm(1) has for it.
    kind: str
    # Its distance from the first symbol, which is where the Image begins.
    offset: int

    @property
    def is_function(self) -> bool:
        """Whether it is in a section of code."""
        return self.kind in _FUNCTIONS


def functions(image: bytes) -> frozenset[str] | None:
    """Return the names of the functions in an Image's symbols, or None where it has none."""
    found = read(image)
    return None if found is None else frozenset(one.name for one in found if one.is_function)


def read(image: bytes) -> list[ImageSymbol] | None:
    """Return an Image's symbols by address; None where it has none that are understood."""
    for table in _token_tables(image):
        for at, count in _counts(image, table):
            first = table.aligned(at + 4)
            names = list(itertools.islice(_names(image, first, table.start), count))
            if len(names) < count or not _marked(image, table, first, names):
                continue
            offsets = _offsets(image, table, at, count)
            if offsets is not None:
                texts = (_text(image, table.tokens, *name) for name in names)
                return [ImageSymbol(t[1:], t[0], o) for t, o in zip(texts, offsets)]
    return None


@dataclass(frozen=True)
class _TokenTable:
    """The tokens, and where in the Image they begin and their index ends."""

    tokens: list[bytes]
    start: int
    end: int
    # The alignment of this table, and of the others.
    align: int

    def aligned(self, offset: int) -> int:
        return -(-offset // self.align) * self.align


def _token_tables(image: bytes) -> Iterator[_TokenTable]:
    """Yield each table of tokens that has a fitting index."""
    digits = -1
    while (digits := image.find(_DIGITS, digits + 1)) >= 0:
        end = digits
        for _ in range(_TOKENS - _FIRST_DIGIT):
            end = image.find(b"\0", end) + 1
            if not end:
                return
        for align in _ALIGNS:
            index = -(-end // align) * align
            if index + 2 * _TOKENS > len(image):
                continue
            starts = struct.unpack_from(f"<{_TOKENS}H", image, index)
            start = digits - starts[_FIRST_DIGIT]
            tokens = image[start : end - 1].split(b"\0")
            lengths = (len(token) + 1 for token in tokens[:-1])
            if start > 0 and starts == tuple(itertools.accumulate(lengths, initial=0)):
                yield _TokenTable(tokens, start, index + 2 * _TOKENS, align)


def _counts(image: bytes, table: _TokenTable) -> Iterator[tuple[int, int]]:
    """Yield where the number of the names before a table of tokens may stand, and the number."""
    end = table.start // 8 * 8
    begin = max(0, end - _NAMES_MAX)
    least, most = _COUNTS
    words = array("I", image[begin:end])
    for index in [index for index, word in enumerate(words) if least < word < most]:
        at, word = begin + 4 * index, words[index]
        # A name has three bytes or more: its length, its letter and a character.
        if at + 3 * word < end and table.aligned(at) == at:
            # The markers end at the tokens; in v6.2 and v6.3, before three bytes for each name.
            size = table.aligned(4 * -(-word // _EACH_MARKER))
            places = (table.start - size, table.start - table.aligned(3 * word) - size)
            if any(_begins_markers(image, place) for place in places):
                yield at, word


def _begins_markers(image: bytes, at: int) -> bool:
    first, second = struct.unpack_from("<2I", image, at)
    return (first, second // _EACH_MARKER) in _FIRST_MARKERS


def _names(image: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where each name's tokens begin, and how many there are, up to one without any."""
    while at < end and (size := image[at]):
        at += 1
        if size & 0x80:
            # Since v6.1 a long name's length has two bytes.
            size = size & 0x7F | image[at] << 7
            at += 1
        yield at, size
        at += size


def _marked(image: bytes, table: _TokenTable, first: int, names: list[tuple[int, int]]) -> bool:
    """Return whether the markers that follow the names are those of these names."""
    begins = [where - (1 if size < 0x80 else 2) - first for where, size in names[::_EACH_MARKER]]
    end = table.aligned(sum(names[-1]))
    markers = struct.pack(f"<{len(begins)}I", *begins)
    return image[end : end + len(markers)] == markers


def _text(image: bytes, tokens: list[bytes], at: int, size: int) -> str:
    return b"".join(tokens[octet] for octet in image[at : at + size]).decode(errors="replace")


def _offsets(image: bytes, table: _TokenTable, at: int, count: int) -> Sequence[int] | None:
    """
    Return the symbols' offsets, or None where they are not found.

    Up to v6.3 they lie before the base and the number of names, later behind the tokens; in
    newer kernels each is a distance from where it stands itself.
    """
    for start in (at - _BASE - table.aligned(4 * count), table.aligned(table.end)):
        if start < 0 or start + 4 * count > len(image):
            continue
        plain = struct.unpack_from(f"<{count}I", image, start)
        signed = struct.unpack_from(f"<{count}i", image, start)
        relative = [value + start + 4 * index for index, value in enumerate(signed)]
        for offsets in (plain, relative):
            if offsets[0] == 0 and all(a <= b for a, b in itertools.pairwise(offsets)):
                return offsets
    return None
