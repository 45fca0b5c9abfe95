# SPDX-License-Identifier: GPL-2.0-only
"""A function's arguments with the place of each member, for who wants to fetch them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.abi.aapcs64 import Layout, Placement
from harness.abi.ctype import CType
from harness.abi.places import OCTET, WORD, Base, Leaf, Piece, leaves, pieces

# How many scalars of one argument are looked at; the rest is elements of a long array.
LEAVES_MAX = 256


@dataclass(frozen=True)
class Part:
    """A scalar of an argument, and where its bits lie, lowest first."""

    # What follows the argument's name in C.
    path: str
    type: str
    # In bits; `start` is from the argument's beginning.
    start: int
    width: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Located:
    """An argument and its parts."""

    name: str
    # As C declares it.
    declared: str
    # In bytes; None where it is not known.
    size: int | None
    # None where it is not known, and why.
    placement: Placement | None
    unknown: str
    parts: tuple[Part, ...]
    # Whether there are further parts, of a long array.
    cut: bool = False


@dataclass(frozen=True)
class Entry:
    """A function's arguments at its first instruction."""

    # The prototype, or the signature that was asked for.
    declared: str
    arguments: tuple[Located, ...]
    # Sentences that say where it may be otherwise, and why.
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """An argument of which the place is asked."""

    name: str
    declared: str
    # None where it is not known, and why.
    type: CType | None
    unknown: str = ""


def located(
    given: Sequence[Given], layout: Layout | None, most: int = LEAVES_MAX
) -> Iterator[Located]:
    """Yield each argument with `most` parts; without a layout, none of them has any."""
    for index, one in enumerate(given):
        size = one.type.size if one.type else None
        if layout is None or one.type is None:
            yield Located(one.name, one.declared, size, None, one.unknown, ())
            continue
        placement = layout.placements[index]
        found = list(itertools.islice(leaves(one.type), most + 1))
        parts = tuple(_part(one.type, placement, leaf) for leaf in found[:most])
        cut = len(found) > most
        yield Located(one.name, one.declared, size, placement, "", parts, cut)


def _part(type_: CType, placement: Placement, leaf: Leaf) -> Part:
    at = pieces(type_, placement, leaf.start, leaf.width)
    return Part(leaf.path, leaf.type.spelling, leaf.start, leaf.width, at)


def lies(piece: Piece) -> str:
    """Return where a piece lies, in a few words."""
    first, last = piece.start, piece.start + piece.width - 1
    match piece.base:
        case Base.REGISTER:
            bits = "" if (first, piece.width) == (0, WORD) else f" bits {first}-{last}"
            return f"x{piece.number}{bits}"
        case Base.VECTOR:
            return f"v{piece.number}"
        case Base.STACK:
            return _at("SP", first, piece.width)
        case Base.BY_REGISTER:
            return _at(f"[x{piece.number}]", first, piece.width)
        case _:
            return _at(f"[SP+{piece.number}]", first, piece.width)


def _at(address: str, first: int, width: int) -> str:
    offset, bit = divmod(first, OCTET)
    bits = f" bits {bit}-{bit + width - 1}" if bit or width % OCTET else ""
    return f"{address}+{offset}{bits}"
