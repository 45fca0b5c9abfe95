# SPDX-License-Identifier: GPL-2.0-only
"""
The expressions with which tracers and debuggers fetch what lies at a place.

Each of them holds at the first instruction of a function, where SP is the caller's.  Sources:
Documentation/trace/kprobetrace.rst (fetch arguments), the manuals of bpftrace, perf-probe,
SystemTap's tapset (context and conversions), and GDB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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


def _bpftrace(piece: Piece) -> str:
    if piece.base is Base.REGISTER:
        return _shifted(f'reg("x{piece.number}")', piece.start, piece.width, WORD)
    offset, width, first = _container(piece)
    address = {
        Base.STACK: 'reg("sp")',
        Base.BY_REGISTER: f'reg("x{piece.number}")',
        Base.BY_SLOT: f'*(uint64 *)(reg("sp") + {piece.number})',
    }[piece.base]
    return _shifted(f"*(uint{width} *)({address} + {offset})", first, piece.width, width)


def _systemtap(piece: Piece) -> str:
    if piece.base is Base.REGISTER:
        return _shifted(f'u_register("x{piece.number}")', piece.start, piece.width, WORD)
    offset, width, first = _container(piece)
    address = {
        Base.STACK: 'u_register("sp")',
        Base.BY_REGISTER: f'u_register("x{piece.number}")',
        Base.BY_SLOT: f'kernel_uint64(u_register("sp") + {piece.number})',
    }[piece.base]
    return _shifted(f"kernel_uint{width}({address} + {offset})", first, piece.width, width)


_C_TYPES = {
    8: "unsigned char",
    16: "unsigned short",
    32: "unsigned int",
    64: "unsigned long",
}


def _gdb(piece: Piece) -> str:
    if piece.base is Base.REGISTER:
        register = f"(unsigned long)$x{piece.number}"
        return _shifted(register, piece.start, piece.width, WORD)
    offset, width, first = _container(piece)
    address = {
        Base.STACK: "$sp",
        Base.BY_REGISTER: f"$x{piece.number}",
        Base.BY_SLOT: f"*(unsigned long *)($sp + {piece.number})",
    }[piece.base]
    return _shifted(f"*({_C_TYPES[width]} *)({address} + {offset})", first, piece.width, width)


SYNTAXES: Mapping[str, Callable[[Piece], str]] = {
    "kprobe": _kprobe,
    "perf": _perf,
    "bpftrace": _bpftrace,
    "systemtap": _systemtap,
    "gdb": _gdb,
}
