# SPDX-License-Identifier: GPL-2.0-only
"""C types as AAPCS64 sees them: size, alignment, and which bytes carry value."""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.abi.offsets import Offsets


class TypeKind(enum.Enum):
    """Fundamental data types, as far as the placement rules tell them apart."""

    INTEGER = "integer"
    POINTER = "pointer"
    FLOAT = "float"
    VECTOR = "vector"


@dataclass(frozen=True)
class Extent:
    """How many parts a type has, and how deeply they are nested."""

    # Scalars in the type, counting those of every array element and every union member.
    scalars: int
    # How deeply arrays, structs and unions are nested.
    depth: int


@dataclass(frozen=True)
class Scalar:
    """A fundamental data type (AAPCS64 section 5.1); its alignment is its size."""

    # As written in C.
    spelling: str
    # In bytes.
    size: int
    kind: TypeKind = TypeKind.INTEGER

    @property
    def align(self) -> int:
        return self.size

    @functools.cached_property
    def value_bytes(self) -> Offsets:
        """The offsets of the bytes that carry value; the others are padding."""
        return Offsets.span(0, self.size)

    @property
    def extent(self) -> Extent:
        return Extent(1, 0)


def declared(spelling: str, name: str) -> str:
    """Return the C declarator of `name` with a type's spelling; `name` may end in "[2]"."""
    if "(*)" in spelling:
        return spelling.replace("(*)", f"(*{name})", 1)
    gap = "" if spelling.endswith("*") or name.startswith("[") else " "
    return f"{spelling}{gap}{name}"


@dataclass(frozen=True)
class Enumeration(Scalar):
    """An enum: an integer whose size depends on its values."""

    tag: str = ""
    # Each enumerator's name and value, in order.
    values: tuple[tuple[str, int], ...] = ()
    packed: bool = False


@dataclass(frozen=True)
class Array:
    """An array; only ever a member, since C passes arrays as pointers."""

    element: CType
    count: int

    @property
    def base(self) -> CType:
        """The type of the innermost elements."""
        return self.element.base if isinstance(self.element, Array) else self.element

    @property
    def counts(self) -> str:
        """The dimensions as C writes them, outermost first: char[2][6] is two arrays of six."""
        inner = self.element.counts if isinstance(self.element, Array) else ""
        return f"[{self.count}]{inner}"

    @property
    def spelling(self) -> str:
        return declared(self.base.spelling, self.counts)

    @property
    def size(self) -> int:
        return self.element.size * self.count

    @property
    def align(self) -> int:
        return self.element.align

    @functools.cached_property
    def value_bytes(self) -> Offsets:
        """The offsets of the bytes that carry value."""
        bits, size = self.element.value_bytes.bits, self.element.size
        return Offsets.of(sum(bits << index * size for index in range(self.count)))

    @property
    def extent(self) -> Extent:
        inner = self.element.extent
        return Extent(inner.scalars * self.count, inner.depth + 1)


@dataclass(frozen=True)
class BitField:
    """A bit-field; only ever a member."""

    # Its declared type, the container.
    type: Scalar
    # In bits.
    width: int


# A random signature has many: a tuple is made faster than a frozen dataclass.
class Member(NamedTuple):
    """One member of a composite."""

    name: str
    type: CType
    # In bytes from the composite's start; for a bit-field, the byte in which it begins.
    offset: int
    # For a bit-field: its first bit from the composite's start, and its width in bits.
    bits: tuple[int, int] | None = None


@dataclass(frozen=True)
class Composite:
    """A struct or union (AAPCS64 section 5.9)."""

    # "struct" or "union".
    keyword: str
    # Empty for an anonymous type, which is written out where it is a member.
    tag: str
    members: tuple[Member, ...]
    # In bytes, including trailing padding.
    size: int
    # The largest alignment of the members, before any alignment attribute of
    # the composite's own: the "natural alignment" of rules B.6 and C.14.
    natural_align: int
    # The alignment including that attribute.
    align: int
    packed: bool = False
    # The name of a typedef for it, or empty.
    typedef: str = ""

    @property
    def spelling(self) -> str:
        return self.typedef or f"{self.keyword} {self.tag or '{…}'}"

    @functools.cached_property
    def value_bytes(self) -> Offsets:
        """
        The offsets of the bytes that carry value; the others are padding.

        A byte that a bit-field fills in part counts as padding.
        """
        if any(member.bits for member in self.members):
            return _whole_bytes(self)
        bits = 0
        for member in self.members:
            bits |= member.type.value_bytes.bits << member.offset
        return Offsets.of(bits)

    @functools.cached_property
    def homogeneous(self) -> tuple[Scalar, ...]:
        """
        The members of an HFA or HVA (AAPCS64 section 5.9.5), or an empty tuple.

        An HFA or HVA has one to four members, all of one floating-point type or all short vectors
        of one size, and no padding.
        """
        first = next(_leaves(self), None)
        if first is None or first.kind not in (TypeKind.FLOAT, TypeKind.VECTOR):
            return ()
        leaves = tuple(_leaves(self))
        kinds = {(base.kind, base.size) for base in _bases(self)}
        if len(leaves) > 4 or len(kinds) != 1:
            return ()
        return leaves if self.size == len(leaves) * leaves[0].size else ()

    @functools.cached_property
    def extent(self) -> Extent:
        inner = [member.type.extent for member in self.members]
        return Extent(sum(one.scalars for one in inner), 1 + max(one.depth for one in inner))


CType = Scalar | Array | Composite

CHAR = Scalar("char", 1)
SCHAR = Scalar("signed char", 1)
UCHAR = Scalar("unsigned char", 1)
BOOL = Scalar("bool", 1)
SHORT = Scalar("short", 2)
USHORT = Scalar("unsigned short", 2)
INT = Scalar("int", 4)
UINT = Scalar("unsigned int", 4)
LONG = Scalar("long", 8)
ULONG = Scalar("unsigned long", 8)
LONG_LONG = Scalar("long long", 8)
ULONG_LONG = Scalar("unsigned long long", 8)
POINTER = Scalar("void *", 8, TypeKind.POINTER)
INT128 = Scalar("__int128", 16)
UINT128 = Scalar("unsigned __int128", 16)
# arm64 kernels are built with -mgeneral-regs-only: these never reach a probe.
HALF = Scalar("_Float16", 2, TypeKind.FLOAT)
FLOAT = Scalar("float", 4, TypeKind.FLOAT)
DOUBLE = Scalar("double", 8, TypeKind.FLOAT)
QUAD = Scalar("long double", 16, TypeKind.FLOAT)
VECTOR8 = Scalar("int8x8_t", 8, TypeKind.VECTOR)
VECTOR16 = Scalar("int8x16_t", 16, TypeKind.VECTOR)

# Names of <linux/types.h>, by size: those that every arm64 kernel since v4.1 has.
_KERNEL_NAMES = {
    1: "u8 s8 __u8 __s8 uint8_t int8_t u_int8_t unchar",
    2: "u16 s16 __u16 __s16 uint16_t int16_t u_int16_t __le16 __be16 __sum16 ushort umode_t",
    4: (
        "u32 s32 __u32 __s32 uint32_t int32_t u_int32_t __le32 __be32 __wsum uint pid_t uid_t"
        " gid_t dev_t mode_t key_t clockid_t gfp_t fmode_t"
    ),
    8: (
        "u64 s64 __u64 __s64 uint64_t int64_t u_int64_t __le64 __be64 ulong size_t ssize_t"
        " ptrdiff_t uintptr_t loff_t off_t ino_t sector_t blkcnt_t pgoff_t dma_addr_t"
        " phys_addr_t resource_size_t irq_hw_number_t"
    ),
}

SCALARS = {
    scalar.spelling: scalar
    for scalar in (
        CHAR, SCHAR, UCHAR, BOOL, SHORT, USHORT, INT, UINT, LONG, ULONG, LONG_LONG, ULONG_LONG,
        POINTER, INT128, UINT128, HALF, FLOAT, DOUBLE, QUAD, VECTOR8, VECTOR16,
        *(Scalar(name, size) for size, names in _KERNEL_NAMES.items() for name in names.split()),
    )
}  # fmt: skip


def align_up(value: int, align: int) -> int:
    """Return the first multiple of `align` that is not below `value`."""
    return -(-value // align) * align


def enumeration(
    tag: str, values: Sequence[tuple[str, int]], *, packed: bool = False
) -> Enumeration:
    """
    Return an enum as GNU C lays it out.

    It is an int, or a long where a value needs one; a packed enum has the smallest integer type
    that holds its values.  Raises ValueError where no integer type holds all of them.
    """
    low, high = min(v for _, v in values), max(v for _, v in values)
    for size in (1, 2, 4, 8) if packed else (4, 8):
        bits = 8 * size
        if high < 1 << bits - (low < 0) and low >= -(1 << bits - 1):
            return Enumeration(f"enum {tag}", size, TypeKind.INTEGER, tag, tuple(values), packed)
    raise ValueError(f"no integer type has both {low} and {high}")


def composite(
    keyword: str,
    tag: str,
    types: Sequence[CType | BitField],
    *,
    packed: bool = False,
    aligned: int = 1,
) -> Composite:
    """
    Lay out a struct or union as C does; members are named m0, m1, ...

    A bit-field starts where the last member ended, unless it would then cross
    the alignment of its container (AAPCS64 section 10.1.8).
    """
    # An offset in bits.
    end = 0
    natural = 1
    members = []
    for index, type_ in enumerate(types):
        container = type_.type if isinstance(type_, BitField) else type_
        align = 1 if packed else container.align
        natural = max(natural, align)
        start = end if keyword == "struct" else 0
        bits = None
        if isinstance(type_, BitField):
            size, unit = type_.width, 8 * align
            if not packed and start // unit != (start + size - 1) // unit:
                start = align_up(start, unit)
            bits = start, size
        else:
            size = 8 * type_.size
            start = align_up(start, 8 * align)
        members.append(Member(f"m{index}", container, start // 8, bits))
        end = max(end, start + size)
    align = max(natural, aligned)
    size = align_up(-(-end // 8), align)
    return Composite(keyword, tag, tuple(members), size, natural, align, packed)


# AAPCS64 section 10.1.5: what va_start, va_arg and va_end work on.
VA_LIST = Composite(
    "struct",
    "__va_list",
    (
        Member("__stack", POINTER, 0),
        Member("__gr_top", POINTER, 8),
        Member("__vr_top", POINTER, 16),
        Member("__gr_offs", INT, 24),
        Member("__vr_offs", INT, 28),
    ),
    size=32,
    natural_align=8,
    align=8,
    typedef="va_list",
)


def _whole_bytes(type_: Composite) -> Offsets:
    # Bits of bit-fields, several of which may fill a byte together, and bytes of other members.
    bits = whole = 0
    for member in type_.members:
        if member.bits:
            start, width = member.bits
            bits |= (1 << width) - 1 << start
        else:
            whole |= member.type.value_bytes.bits << member.offset
    for offset, octet in enumerate(bits.to_bytes(type_.size, "little")):
        whole |= (octet == 0xFF) << offset
    return Offsets.of(whole)


def _leaves(type_: CType) -> Iterator[Scalar]:
    if isinstance(type_, Scalar):
        yield type_
    elif isinstance(type_, Array):
        for _ in range(type_.count):
            yield from _leaves(type_.element)
    elif type_.keyword == "union":
        # The longest member decides how many registers a union needs.
        yield from max(
            (tuple(_leaves(member.type)) for member in type_.members), key=len, default=()
        )
    else:
        for member in type_.members:
            yield from _leaves(member.type)


def _bases(type_: CType) -> set[Scalar]:
    if isinstance(type_, Scalar):
        return {type_}
    if isinstance(type_, Array):
        return _bases(type_.element)
    return {base for member in type_.members for base in _bases(member.type)}
