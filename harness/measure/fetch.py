# SPDX-License-Identifier: GPL-2.0-only
"""
The expressions with which tracers and debuggers fetch what lies at a place.

Each of them holds at the first instruction of a function, where SP is the caller's.  Sources:
Documentation/trace/kprobetrace.rst (fetch arguments), the manuals of bpftrace, perf-probe,
SystemTap's tapset (context and conversions), and GDB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.abi.places import OCTET, WORD, Base, Piece

# The widths of integers that can be loaded.
_LOADED = (8, 16, 32, 64)


def fetched(syntax: str, piece: Piece) -> str:
    """Return the expression of a piece in a syntax of SYNTAXES, empty where it has none."""
    return "" if piece.base is Base.VECTOR else SYNTAXES[syntax](piece)


def _container(piece: Piece) -> tuple[int, int, int]:
    """
    Return a load that has all bits of a piece in memory: offset in bytes, width and first bit.

    It is as small as can be, and aligned where that is possible.
    """
    for width in _LOADED:
        for start in (piece.start // width * width, piece.start // OCTET * OCTET):
            if piece.start + piece.width <= start + width:
                return start // OCTET, width, piece.start - start
    raise ValueError("no load has that many bits")


def _kprobe(piece: Piece, stack: str = "$stack") -> str:
    if piece.base is Base.REGISTER:
        return f"%x{piece.number}{_typed(piece.start, piece.width, WORD)}"
    offset, width, first = _container(piece)
    typed = _typed(first, piece.width, width)
    match piece.base:
        case Base.STACK if stack == "$stack" and offset % 8 == 0 and first == 0:
            return f"$stack{offset // 8}{typed}"
        case Base.STACK:
            return f"+{offset}({stack}){typed}"
        case Base.BY_REGISTER:
            return f"+{offset}(%x{piece.number}){typed}"
        case _:
            return f"+{offset}(+{piece.number}({stack})){typed}"


def _typed(first: int, width: int, container: int) -> str:
    """Return the type of some bits of a container, a bit-field unless it is its low end."""
    if first == 0 and width in _LOADED:
        return f":x{width}"
    return f":b{width}@{first}/{container}"


def _perf(piece: Piece) -> str:
    return _kprobe(piece, "%sp")


@dataclass(frozen=True)
class _Loads:
    """How a syntax writes a register's value as a number, and what lies at an address."""

    # Of x0 to x7 by number, and of SP.
    register: str
    sp: str
    # By the width in bits.
    loads: Mapping[int, str]
    # Whether numbers are unsigned; else loads and shifts to the right extend a sign.
    unsigned: bool = True

    def __call__(self, piece: Piece) -> str:
        register = self.register.format(piece.number)
        if piece.base is Base.REGISTER:
            return self._shifted(register, piece.start, piece.width, WORD)
        offset, width, first = _container(piece)
        match piece.base:
            case Base.STACK:
                address = self.sp
            case Base.BY_REGISTER:
                address = register
            case _:
                address = self.loads[WORD].format(f"{self.sp} + {piece.number}")
        value = self.loads[width].format(f"{address} + {offset}")
        return self._shifted(value, first, piece.width, width)

    def _shifted(self, value: str, first: int, width: int, container: int) -> str:
        """Return an expression for some bits of a value, which can be an operand."""
        moved = f"({value} >> {first})" if first else value
        if width == WORD or (self.unsigned and first + width == container):
            return moved
        return f"({moved} & {(1 << width) - 1:#x})"


_C_TYPES = {8: "unsigned char", 16: "unsigned short", 32: "unsigned int", 64: "unsigned long"}

# The tapset's kernel_char() to kernel_long() return a signed long.
_STAP_LOADS = {8: "kernel_char", 16: "kernel_short", 32: "kernel_int", 64: "kernel_long"}

SYNTAXES: Mapping[str, Callable[[Piece], str]] = {
    "kprobe": _kprobe,
    "perf": _perf,
    "bpftrace": _Loads(
        # It calls x0 to x30 r0 to r30.
        'reg("r{}")',
        'reg("sp")',
        {width: f"*(uint{width} *)({{}})" for width in _LOADED},
    ),
    "systemtap": _Loads(
        'u_register("x{}")',
        'u_register("sp")',
        {width: f"{name}({{}})" for width, name in _STAP_LOADS.items()},
        unsigned=False,
    ),
    "gdb": _Loads(
        "(unsigned long)$x{}",
        "(unsigned long)$sp",
        {width: f"*({name} *)({{}})" for width, name in _C_TYPES.items()},
    ),
}
