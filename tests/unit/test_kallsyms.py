# SPDX-License-Identifier: GPL-2.0-only
"""An Image's symbols are read in each form that kernels have had, or not at all."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

import pytest

from harness.prototypes import kallsyms
from harness.prototypes.kallsyms import ImageSymbol

# As a kernel has them: more than any number that is taken for noise.
NAMES = [f"function_{number}" for number in range(1500)]
SYMBOLS = [ImageSymbol("_text", "T", 0)] + [
    ImageSymbol(name, "tTdW"[number % 4], 64 * number) for number, name in enumerate(NAMES)
]
SYMBOLS[700] = ImageSymbol("long_" + "x" * 200, "t", SYMBOLS[700].offset)


def padded(data: bytes, align: int) -> bytes:
    return data + bytes(-len(data) % align)


def tokens() -> list[bytes]:
    """Return tokens as scripts/kallsyms.c makes them: some of two characters, or of none."""
    made = [bytes([octet]) if 32 < octet < 127 else b"" for octet in range(256)]
    made[1], made[2] = b"function_", b"Tf"
    return made


def compressed(symbol: ImageSymbol) -> bytes:
    text = f"{symbol.kind}{symbol.name}".encode().replace(b"function_", b"\x01")
    size = len(text)
    return (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + text


def tables(form: str, symbols: Sequence[ImageSymbol] = SYMBOLS) -> bytes:
    """Return an Image with the symbols in the form of v5.10, v6.2, v6.12 or v7.2."""
    align = 4 if form == "7.2" else 8
    entries = [compressed(symbol) for symbol in symbols]
    starts = list(itertools.accumulate(map(len, entries), initial=0))[:-1]
    strings = [token + b"\0" for token in tokens()]
    count = padded(struct.pack("<I", len(symbols)), align)
    names = padded(b"".join(entries), align)
    markers = padded(b"".join(struct.pack("<I", at) for at in starts[::256]), align)
    sequence = padded(bytes(3 * len(symbols)), align)
    index = list(itertools.accumulate(map(len, strings), initial=0))[:-1]
    table = padded(b"".join(strings), align) + padded(struct.pack("<256H", *index), align)
    offsets = padded(struct.pack(f"<{len(symbols)}I", *(s.offset for s in symbols)), align)
    before = bytes(4096)
    if form in ("5.10", "6.2"):
        named = count + names + markers + (sequence if form == "6.2" else b"")
        return before + offsets + bytes(8) + named + table + bytes(64)
    front = before + count + names + markers + table
    if form == "7.2":
        own = [s.offset - (len(front) + 4 * number) for number, s in enumerate(symbols)]
        offsets = struct.pack(f"<{len(symbols)}i", *own)
    return front + offsets + bytes(8) + sequence + bytes(64)


@pytest.mark.parametrize("form", ["5.10", "6.2", "6.12", "7.2"])
def test_each_form(form: str) -> None:
    assert kallsyms.read(tables(form)) == SYMBOLS
    assert kallsyms.functions(tables(form)) == frozenset(
        symbol.name for symbol in SYMBOLS if symbol.kind in "tTW"
    )


@pytest.mark.parametrize("form", ["5.10", "7.2"])
def test_what_does_not_fit_is_not_read(form: str) -> None:
    whole = tables(form)
    names = whole.index(compressed(SYMBOLS[5]))
    # One name is longer than the markers have it.
    assert kallsyms.read(whole[:names] + b"\x09" + whole[names + 1 :]) is None
    # The index of the tokens is another one's.
    digits = whole.index(b"0\x001\x002\x00")
    assert kallsyms.read(whole[: digits - 2] + b"\0" + whole[digits - 1 :]) is None
    assert kallsyms.read(whole[: digits + 100]) is None
    assert kallsyms.read(bytes(10000)) is None


def test_too_few_are_noise() -> None:
    assert kallsyms.read(tables("6.12", SYMBOLS[:500])) is None
