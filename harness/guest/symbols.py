# SPDX-License-Identifier: GPL-2.0-only
"""
The running kernel's symbols, as an ELF file for a debugger.

They come from the guest's /proc/kallsyms (proc(5)), which has the image's symbols at
the addresses of this boot.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

# elf.h
_ET_EXEC, _EM_AARCH64, _EV_CURRENT = 2, 183, 1
_SHT_SYMTAB, _SHT_STRTAB, _SHT_NOBITS = 2, 3, 8
_SHF_ALLOC_EXEC = 0x2 | 0x4
_STT_OBJECT, _STT_FUNC, _STB_GLOBAL = 1, 2, 1 << 4
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_LINE = re.compile(r"([0-9a-f]{1,16}) ([A-Za-z?]) (\S+)", re.ASCII)


@dataclass(frozen=True)
class Symbol:
    """One of the kernel's own symbols."""

    name: str
    address: int
    # The letter that nm(1) has for it.
    kind: str


def parse(kallsyms: str) -> list[Symbol]:
    """Return the kernel's symbols, sorted by address; those of modules are left out."""
    return sorted(_symbols(kallsyms.splitlines()), key=lambda symbol: symbol.address)


def _symbols(lines: Iterable[str]) -> Iterator[Symbol]:
    for line in lines:
        # A module's symbol has a fourth column; an unprivileged reader gets addresses of 0.
        if (match := _LINE.fullmatch(line)) and (address := int(match[1], 16)):
            yield Symbol(match[3], address, match[2])


def elf(symbols: Sequence[Symbol]) -> bytes:
    """Return an ELF executable without content, in which each symbol extends to the next."""
    start, end = symbols[0].address, symbols[-1].address + 4
    strings, names = bytearray(b"\0"), []
    for symbol in symbols:
        names.append(len(strings))
        strings += symbol.name.encode() + b"\0"
    following = [symbol.address for symbol in symbols[1:]] + [end]
    table = b"".join(
        [
            bytes(_SYMBOL.size),
            *(
                _SYMBOL.pack(
                    name,
                    _STB_GLOBAL | (_STT_FUNC if symbol.kind in "tTwW" else _STT_OBJECT),
                    0,
                    1,
                    symbol.address,
                    after - symbol.address,
                )
                for name, symbol, after in zip(names, symbols, following)
            ),
        ]
    )
    titles = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    parts = (table, bytes(strings), titles)
    at = [_HEADER.size + sum(map(len, parts[:number])) for number in range(len(parts) + 1)]

    def title(name: bytes) -> int:
        return titles.index(b"\0" + name + b"\0") + 1

    sections = (
        bytes(_SECTION.size),
        _SECTION.pack(
            title(b".text"), _SHT_NOBITS, _SHF_ALLOC_EXEC, start, at[0], end - start, 0, 0, 4, 0
        ),
        _SECTION.pack(
            title(b".symtab"), _SHT_SYMTAB, 0, 0, at[0], len(table), 3, 1, 8, _SYMBOL.size
        ),
        _SECTION.pack(title(b".strtab"), _SHT_STRTAB, 0, 0, at[1], len(strings), 0, 0, 1, 0),
        _SECTION.pack(title(b".shstrtab"), _SHT_STRTAB, 0, 0, at[2], len(titles), 0, 0, 1, 0),
    )
    header = _HEADER.pack(
        b"\x7fELF\x02\x01\x01", _ET_EXEC, _EM_AARCH64, _EV_CURRENT, start, 0, at[3], 0,
        _HEADER.size, 0, 0, _SECTION.size, len(sections), 4,
    )  # fmt: skip
    return b"".join((header, *parts, *sections))
