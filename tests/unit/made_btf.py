# SPDX-License-Identifier: GPL-2.0-only
"""BTF written byte by byte, as the kernel's Documentation/bpf/btf.rst has it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, PROTO = range(
    1, 14
)
FLOAT, ENUM64 = 16, 19
KIND_FLAG = 1 << 31
HEADER = struct.Struct("<HBBIIIII")


class Maker:
    """Collects types; each method returns the new type's ID."""

    def __init__(self, first: int = 1, strings_first: int = 0) -> None:
        self.first, self.strings_first = first, strings_first
        self.types: list[bytes] = []
        self.strings = b"" if strings_first else b"\0"

    def string(self, text: str) -> int:
        if not text:
            return 0
        offset = self.strings_first + len(self.strings)
        self.strings += text.encode() + b"\0"
        return offset

    def add(self, kind: int, name: str, third: int, rest: bytes = b"", vlen: int = 0) -> int:
        info = kind << 24 | vlen
        self.types.append(struct.pack("<III", self.string(name), info, third) + rest)
        return self.first + len(self.types) - 1

    def integer(self, name: str, size: int) -> int:
        return self.add(INT, name, size, struct.pack("<I", 8 * size))

    def pointer(self, target: int = 0) -> int:
        return self.add(PTR, "", target)

    def array(self, element: int, count: int) -> int:
        return self.add(ARRAY, "", 0, struct.pack("<III", element, element, count))

    def typedef(self, name: str, target: int) -> int:
        return self.add(TYPEDEF, name, target)

    def composite(
        self, kind: int, name: str, size: int, members: Sequence[tuple[str, int, int]]
    ) -> int:
        """Members are their names, their types and their offsets in bits."""
        rest = b"".join(struct.pack("<III", self.string(n), t, start) for n, t, start in members)
        return self.add(kind, name, size, rest, len(members))

    def function(
        self,
        name: str,
        parameters: Sequence[tuple[str, int]],
        returns: int = 0,
        *,
        more: bool = False,
    ) -> int:
        """Add a function and its prototype; with `more` it is variadic."""
        listed = [*parameters, *([("", 0)] if more else [])]
        rest = b"".join(struct.pack("<II", self.string(n), t) for n, t in listed)
        of = self.add(PROTO, "", returns, rest, len(listed))
        return self.add(FUNC, name, of)

    def data(self, *, version: int = 1, flags: int = 0, header: int = HEADER.size) -> bytes:
        types = b"".join(self.types)
        strings = self.strings or b"\0"
        start = HEADER.pack(0xEB9F, version, flags, header, 0, len(types), len(types), len(strings))
        return start + bytes(header - HEADER.size) + types + strings


def nine_words() -> Maker:
    """Return the BTF of int nine(long a0, ..., long a8)."""
    made = Maker()
    long, integer = made.integer("long int", 8), made.integer("int", 4)
    made.function("nine", [(f"a{number}", long) for number in range(9)], integer)
    return made
