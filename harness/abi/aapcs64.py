# SPDX-License-Identifier: GPL-2.0-only
"""
Where AAPCS64 puts each argument of a call.

Rule numbers are those of "Procedure Call Standard for the Arm 64-bit
Architecture", section 6.8.2 (stages A, B and C); scalable (SVE) types and their
rules B.1, C.7 and C.8 are left out, as no kernel function takes one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from harness.abi.ctype import POINTER, Composite, CType, Scalar, TypeKind, align_up

GENERAL_REGISTERS = 8
VECTOR_REGISTERS = 8


@dataclass(frozen=True)
class Placement:
    """Where one argument lies at the entry of the called function."""

    # The rules that decided, in order, such as ("B.4", "C.9").
    rules: tuple[str, ...]
    # Numbers of the x registers that hold the argument.
    general: tuple[int, ...] = ()
    # Numbers of the v registers that hold the argument.
    vector: tuple[int, ...] = ()
    # Offset in bytes from SP, None for an argument in registers.
    stack: int | None = None
    # The register or slot holds the address of a copy that the caller made.
    by_reference: bool = False


# Most arguments lie where one of another call lies, too.
_placement = functools.lru_cache(1024)(Placement)


@dataclass(frozen=True)
class Layout:
    """The placement of a whole argument list."""

    placements: tuple[Placement, ...]
    # Bytes of the argument area on the stack: the last NSAA minus SP.
    stack_size: int


class _Allocator:
    """The counters that stage A sets up and stage C advances."""

    def __init__(self) -> None:
        self.ngrn = 0  # A.1
        self.nsrn = 0  # A.2
        self.nsaa = 0  # A.4, relative to SP

    def push(self, size: int, align: int) -> int:
        start = align_up(self.nsaa, max(8, align))
        self.nsaa = start + size
        return start

    def place(self, type_: CType) -> Placement:
        if isinstance(type_, Scalar):
            if type_.kind in (TypeKind.FLOAT, TypeKind.VECTOR):
                return self._place_floating(type_)
            return self._place_integral(type_, ())
        assert isinstance(type_, Composite), "C passes arrays as pointers"
        if type_.homogeneous:
            return self._place_homogeneous(type_, len(type_.homogeneous))
        if type_.size > 16:
            placed = self._place_integral(POINTER, ("B.4",))
            return _placement(placed.rules, placed.general, (), placed.stack, by_reference=True)
        return self._place_composite(type_)

    def _place_floating(self, type_: Scalar) -> Placement:
        if self.nsrn < VECTOR_REGISTERS:
            self.nsrn += 1
            return _placement(("C.1",), vector=(self.nsrn - 1,))
        size = max(type_.size, 8)  # C.5
        return _placement(("C.6",), stack=self.push(size, type_.align))  # C.4

    def _place_homogeneous(self, type_: Composite, count: int) -> Placement:
        if self.nsrn + count <= VECTOR_REGISTERS:
            first = self.nsrn
            self.nsrn += count
            return _placement(("B.3", "C.2"), vector=tuple(range(first, self.nsrn)))
        self.nsrn = VECTOR_REGISTERS  # C.3
        start = self.push(align_up(type_.size, 8), _marshal_align(type_))
        return _placement(("B.3", "C.3", "C.6"), stack=start)

    def _place_integral(self, type_: Scalar, rules: tuple[str, ...]) -> Placement:
        if type_.size <= 8 and self.ngrn < GENERAL_REGISTERS:
            self.ngrn += 1
            return _placement((*rules, "C.9"), general=(self.ngrn - 1,))
        if type_.size == 16:
            self.ngrn = align_up(self.ngrn, 2)  # C.10
            if self.ngrn < GENERAL_REGISTERS - 1:
                self.ngrn += 2
                return _placement((*rules, "C.10", "C.11"), general=(self.ngrn - 2, self.ngrn - 1))
        self.ngrn = GENERAL_REGISTERS  # C.13
        size = max(type_.size, 8)  # C.16
        start = self.push(size, type_.align)  # C.14
        return _placement((*rules, "C.13", "C.17"), stack=start)

    def _place_composite(self, type_: Composite) -> Placement:
        size = align_up(type_.size, 8)  # B.5
        align = _marshal_align(type_)  # B.6
        if align == 16:
            self.ngrn = align_up(self.ngrn, 2)  # C.10
        words = size // 8
        if words <= GENERAL_REGISTERS - self.ngrn:
            first = self.ngrn
            self.ngrn += words
            return _placement(("B.5", "C.12"), general=tuple(range(first, self.ngrn)))
        self.ngrn = GENERAL_REGISTERS  # C.13
        return _placement(("B.5", "C.13", "C.15"), stack=self.push(size, align))


def _marshal_align(type_: Composite) -> int:
    """Return the alignment, 8 or 16, of the copy that rule B.6 passes for a composite."""
    return 16 if type_.natural_align >= 16 else 8


def place(types: Sequence[CType]) -> Layout:
    """
    Place an argument list.

    Variadic arguments follow the same rules as named ones (AAPCS64 section
    6.8.2); C has already promoted them.
    """
    allocator = _Allocator()
    placements = tuple(allocator.place(type_) for type_ in types)
    return Layout(placements, align_up(allocator.nsaa, 8))
