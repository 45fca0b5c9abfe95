# SPDX-License-Identifier: GPL-2.0-only
"""Writes a machine's state as a core file, which a debugger reads as if a program had died."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.compilers.emulator import COPIES, SP, State

# ELF64, little-endian; ET_CORE, EM_AARCH64.
_IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_CORE, _AARCH64 = 4, 183
_LOAD, _NOTE = 1, 4
_READABLE = 4
# struct elf_prstatus: what precedes x0, then x0-x30, sp, pc and pstate, then what follows.
_BEFORE, _REGISTERS, _AFTER = 112, 34, 8
_SP = 31
# What a load may read behind the last byte.
_MARGIN = bytes(64)


def write(path: Path, state: State) -> None:
    """Write x0-x7, SP, the stack from SP on and the copies of a state."""
    registers = [*state.general, *[0] * (_REGISTERS - len(state.general))]
    registers[_SP] = SP
    packed = struct.pack(f"<{_REGISTERS}Q", *registers)
    status = bytes(_BEFORE) + packed + bytes(_AFTER)
    note = struct.pack("<III8s", len("CORE") + 1, len(status), 1, b"CORE") + status
    copies = bytearray()
    for address, value in sorted(state.copies.items()):
        copies = copies.ljust(address - COPIES, b"\0") + value
    parts = [
        (_NOTE, 0, note),
        (_LOAD, SP, bytes(state.stack) + _MARGIN),
        (_LOAD, COPIES, bytes(copies) + _MARGIN),
    ]
    at = _HEADER.size + len(parts) * _SEGMENT.size
    head = _HEADER.pack(
        _IDENT, _CORE, _AARCH64, 1, 0, _HEADER.size, 0, 0,
        _HEADER.size, _SEGMENT.size, len(parts), 0, 0, 0,
    )  # fmt: skip
    body = b""
    for kind, address, data in parts:
        size = len(data)
        memory = size if kind == _LOAD else 0
        head += _SEGMENT.pack(kind, _READABLE, at + len(body), address, 0, size, memory, 1)
        body += data
    path.write_bytes(head + body)
