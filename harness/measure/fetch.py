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


def _shifted(value: str, first: int, width: int, container: int) -> str:
    """Return a C expression for some bits of an unsigned value."""
    moved = f"({value} >> {first})" if first else value
    return moved if first + width == container else f"{moved} & {(1 << width) - 1:#x}"


@dataclass(frozen=True)
class _Loads:
    """How a syntax writes a register's value as an unsigned number, and what lies at an address."""

    register: str
    # By the width in bits.
    loads: Mapping[int, str]

    def __call__(self, piece: Piece) -> str:
        register = self.register.format(f"x{piece.number}")
        if piece.base is Base.REGISTER:
            return _shifted(register, piece.start, piece.width, WORD)
        offset, width, first = _container(piece)
        sp = self.register.format("sp")
        match piece.base:
            case Base.STACK:
                address = sp
            case Base.BY_REGISTER:
                address = register
            case _:
                address = self.loads[WORD].format(f"{sp} + {piece.number}")
        value = self.loads[width].format(f"{address} + {offset}")
        return _shifted(value, first, piece.width, width)


_C_TYPES = {8: "unsigned char", 16: "unsigned short", 32: "unsigned int", 64: "unsigned long"}

SYNTAXES: Mapping[str, Callable[[Piece], str]] = {
    "kprobe": _kprobe,
    "perf": _perf,
    "bpftrace": _Loads('reg("{}")', {width: f"*(uint{width} *)({{}})" for width in _LOADED}),
    "systemtap": _Loads(
        'u_register("{}")', {width: f"kernel_uint{width}({{}})" for width in _LOADED}
    ),
    "gdb": _Loads(
        "(unsigned long)${}", {width: f"*({name} *)({{}})" for width, name in _C_TYPES.items()}
    ),
}
