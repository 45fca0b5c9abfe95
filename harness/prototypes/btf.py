# SPDX-License-Identifier: GPL-2.0-only
"""
Reads BTF, the kernel's own description of its types and functions; no I/O.

The format is that of the kernel's Documentation/bpf/btf.rst.  Read here and not by bpftool,
which takes a second for a kernel but as long again for each of its thousand modules.
"""

from __future__ import annotations

import enum
import functools
import re
import struct
from array import array
from collections.abc import Iterator
from typing import NamedTuple


class UnreadableBtf(ValueError):
    """The data are no BTF, damaged, or newer than this reader; the message is a phrase."""


class Kind(enum.IntEnum):
    """The kinds of types, numbered as in include/uapi/linux/btf.h."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


# By their numbers, as a list is faster than the enumeration.
_KINDS = tuple(Kind)
# The bytes behind a type's three words: so many, and so many for each of its elements.
_FOLLOWING: dict[int, tuple[int, int]] = {
    Kind.INT: (4, 0),
    Kind.PTR: (0, 0),
    Kind.ARRAY: (12, 0),
    Kind.STRUCT: (0, 12),
    Kind.UNION: (0, 12),
    Kind.ENUM: (0, 8),
    Kind.FWD: (0, 0),
    Kind.TYPEDEF: (0, 0),
    Kind.VOLATILE: (0, 0),
    Kind.CONST: (0, 0),
    Kind.RESTRICT: (0, 0),
    Kind.FUNC: (0, 0),
    Kind.FUNC_PROTO: (0, 8),
    Kind.VAR: (4, 0),
    Kind.DATASEC: (0, 12),
    Kind.FLOAT: (0, 0),
    Kind.DECL_TAG: (4, 0),
    Kind.TYPE_TAG: (0, 0),
    Kind.ENUM64: (0, 12),
}
_MAGIC = b"\x9f\xeb"
_VERSION = 1
# magic, version, flags, hdr_len, type_off, type_len, str_off, str_len
_HEADER = struct.Struct("<HBBIIIII")
# No header is larger; of what begins with the magic by chance, most is refused by this.
_HEADER_MAX = 256
# The bytes of a word; a type begins with three of them.
_WORD = 4
_WORDS = struct.Struct("<III")
_PAIR = struct.Struct("<II")
# Bits of a type's second word: vlen, kind, kind_flag; the others have no meaning yet.
_VLEN, _KIND_AT, _KIND, _FLAG = 0xFFFF, 24, 0x1F, 1 << 31
# The words of a type with each number, and of each of its elements; nothing for unknown numbers.
_SIZES = [
    ((_WORDS.size + _FOLLOWING[kind][0]) // _WORD, _FOLLOWING[kind][1] // _WORD)
    if kind in _FOLLOWING
    else (0, 0)
    for kind in range(_KIND + 1)
]
_RESERVED = ~(_VLEN | _KIND << _KIND_AT | _FLAG) & 0xFFFFFFFF


class Part(NamedTuple):
    """A member of a struct or union, or a parameter of a function."""

    name: str
    # The ID of its type.
    type: int
    # Of a member: its first bit, and its width in bits if it is a bit-field, or 0.
    start: int = 0
    width: int = 0


class Btf:
    """
    The types of a kernel, or those that a module adds to its kernel's, by their IDs.

    Raises UnreadableBtf for data that are not understood to their end.
    """

    def __init__(self, data: bytes, base: Btf | None = None) -> None:
        self._data = data
        self.base = base
        # The first ID, and the first offset of a string, behind its own.
        self.end: int
        self.strings_end: int
        # The first ID of its own; ID 0 is void.
        self.first = base.end if base else 1
        self._strings_first = base.strings_end if base else 0
        types, types_end, self._strings, strings_end = _sections(data)
        self.strings_end = self._strings_first + strings_end - self._strings
        # Where each begins.
        self._at = array("I")
        # The IDs of its own functions.
        self.functions: list[int] = []
        self._index(types, types_end)
        self.end = self.first + len(self._at)

    def _index(self, start: int, end: int) -> None:
        if (end - start) % _WORD:
            raise UnreadableBtf("its last type is cut off")
        # A kernel and its modules have millions of types.
        words, sizes, begins = memoryview(self._data)[start:end].cast("I"), _SIZES, self._at
        function = int(Kind.FUNC)
        at, last = 0, len(words)
        while at < last:
            if at + _WORDS.size // _WORD > last:
                raise UnreadableBtf("its last type is cut off")
            info = words[at + 1]
            kind = info >> _KIND_AT & _KIND
            fixed, each = sizes[kind]
            if not fixed or info & _RESERVED:
                raise UnreadableBtf(
                    f"its type {self.first + len(self._at)} is of a kind ({info:#x}) that is newer"
                    f" than this program, which knows those up to {max(Kind)} ({max(Kind).name})"
                )
            if kind == function:
                self.functions.append(self.first + len(begins))
            begins.append(start + _WORD * at)
            at += fixed + each * (info & _VLEN)
        if at != last:
            raise UnreadableBtf("its last type is cut off")

    def _words(self, type_: int) -> tuple[Btf, int, int, int, int]:
        """Return who has a type, where it begins, and its three words."""
        if type_ < self.first and self.base:
            return self.base._words(type_)
        if not self.first <= type_ < self.end:
            raise UnreadableBtf(f"it refers to a type {type_}, which it does not have")
        at = self._at[type_ - self.first]
        return self, at + _WORDS.size, *_WORDS.unpack_from(self._data, at)

    def kind(self, type_: int) -> Kind:
        return _KINDS[self._words(type_)[3] >> _KIND_AT & _KIND] if type_ else Kind.VOID

    def name(self, type_: int) -> str:
        """Return a type's or function's name; empty for one without."""
        return self._string(self._words(type_)[2])

    def size(self, type_: int) -> int:
        """Return the size in bytes of a type that has one of its own."""
        return self._words(type_)[4]

    def target(self, type_: int) -> int:
        """Return the type that a type refers to; of a function or its prototype, see btf.rst."""
        return self._words(type_)[4]

    def flag(self, type_: int) -> bool:
        """Return the kind_flag, as of a forward declaration of a union."""
        return bool(self._words(type_)[3] & _FLAG)

    def array(self, type_: int) -> tuple[int, int]:
        """Return the type of an array's elements, and their number."""
        owner, at, *_ = self._words(type_)
        element, _, count = _WORDS.unpack_from(owner._data, at)
        return element, count

    def members(self, type_: int) -> Iterator[Part]:
        owner, at, _, info, _ = self._words(type_)
        for index in range(info & _VLEN):
            name, target, offset = _WORDS.unpack_from(owner._data, at + index * _WORDS.size)
            width = offset >> 24 if info & _FLAG else 0
            start = offset & 0xFFFFFF if info & _FLAG else offset
            yield Part(self._string(name), target, start, width)

    def parameters(self, type_: int) -> Iterator[Part]:
        """Yield a prototype's parameters; a last one of type 0 stands for variadic ones."""
        owner, at, _, info, _ = self._words(type_)
        for index in range(info & _VLEN):
            name, target = _PAIR.unpack_from(owner._data, at + index * _PAIR.size)
            yield Part(self._string(name), target)

    @functools.lru_cache(1 << 16)  # noqa: B019 - as long-lived as what it caches
    def _string(self, offset: int) -> str:
        if offset < self._strings_first and self.base:
            return self.base._string(offset)
        if offset >= self.strings_end:
            raise UnreadableBtf(f"it refers to a string at {offset}, which it does not have")
        start = self._strings + offset - self._strings_first
        return self._data[start : self._data.index(0, start)].decode(errors="replace")


def _sections(data: bytes) -> tuple[int, int, int, int]:
    """Return where the types, and where the strings, begin and end."""
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        raise UnreadableBtf("it does not begin with BTF's magic number")
    _, version, flags, header, types, types_size, strings, strings_size = _HEADER.unpack_from(data)
    if version != _VERSION or flags or header != _HEADER.size:
        raise UnreadableBtf(
            f"its header (version {version}, flags {flags:#x}, {header} bytes) is newer than this"
            f" program, which knows version {_VERSION} with {_HEADER.size} bytes"
        )
    if strings < types + types_size or header + strings + strings_size > len(data) or types % 4:
        raise UnreadableBtf("its sections overlap, or are cut off")
    if not strings_size or data[header + strings + strings_size - 1]:
        raise UnreadableBtf("its strings do not end with a zero byte")
    start = header + types
    return start, start + types_size, header + strings, header + strings + strings_size


def with_first_header(data: bytes) -> bytes:
    """
    Return BTF with the header of the format's first version.

    What a running kernel shows of a module may have a longer one, which tells what kinds there
    are.
    """
    magic, version, flags, size, types, types_size, strings, strings_size = _HEADER.unpack_from(
        data
    )
    parts = ((types, types_size), (strings, strings_size))
    bodies = [data[size + start : size + start + length] for start, length in parts]
    head = (magic, version, flags, _HEADER.size, 0, types_size, types_size, strings_size)
    return _HEADER.pack(*head) + b"".join(bodies)


def found_in(data: bytes) -> bytes | None:
    """
    Return the BTF in a raw Image or in a module's file, or None.

    It is the largest section that begins with the magic number and whose parts have their places:
    an Image may also contain that of BPF programs.
    """
    best = b""
    for match in re.finditer(_MAGIC, data):
        at = match.start()
        if at + _HEADER.size > len(data):
            break
        _, _, _, header, types, types_size, strings, size = _HEADER.unpack_from(data, at)
        end = at + header + strings + size
        if (
            _HEADER.size <= header <= _HEADER_MAX
            and types_size
            and size
            and types + types_size <= strings
            and end <= len(data)
            and end - at > len(best)
            and not data[end - 1]
        ):
            best = data[at:end]
    return best or None
