# SPDX-License-Identifier: GPL-2.0-only
"""A case: one call of a probed function and what the handler does to it."""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model import aapcs64
from harness.model.ctype import BOOL, CType


class Context(enum.Enum):
    """Where the probed function is called."""

    PROCESS = "process"
    SOFTIRQ = "softirq"
    HARDIRQ = "hardirq"


class Frame(enum.Enum):
    """Whose stack frame something lies in."""

    CALLER = "caller"
    # The caller's caller.
    OUTER = "outer"


@dataclass(frozen=True)
class Argument:
    """One argument and the bytes that the caller passes."""

    type: CType
    # As long as the type; for a va_list empty, as only the guest knows them.
    value: bytes

    @property
    def flip_mask(self) -> int:
        """Which bits of each byte a handler can change and leave a valid value."""
        return 0x01 if self.type == BOOL else 0xFF


@dataclass(frozen=True)
class Consume:
    """Read long arguments from a va_list, as a handler that formats does."""

    argument: int
    words: int


@dataclass(frozen=True)
class Handler:
    """What the handler does, in this order; nothing, where all is empty."""

    # Bytes of stack used by a deep call.
    dive: int = 0
    # Indices of the parameters that it assigns to: every bit is inverted.
    assign: tuple[int, ...] = ()
    # Bytes from SP that it inverts.
    overwrite: int = 0
    consume: Consume | None = None
    # It inverts the caller's object, legitimately.
    object: bool = False


@dataclass(frozen=True)
class Object:
    """A variable of the caller's that the handler has every right to write to."""

    size: int
    frame: Frame = Frame.CALLER


@dataclass(frozen=True)
class Case:
    """One experiment."""

    name: str
    # What it shows, in one sentence.
    shows: str
    arguments: tuple[Argument, ...]
    # The first so many arguments are in the prototype; the rest is variadic.
    named: int
    handler: Handler = Handler()
    context: Context = Context.PROCESS
    # False: FP holds no frame's address at the call.
    valid_fp: bool = True
    # By-reference arguments that the caller passes on without a copy.
    forwarded: tuple[int, ...] = ()
    object: Object | None = None

    @property
    def types(self) -> tuple[CType, ...]:
        return tuple(argument.type for argument in self.arguments)

    @property
    def variadic(self) -> bool:
        return self.named < len(self.arguments)

    @functools.cached_property
    def layout(self) -> aapcs64.Layout:
        """Where AAPCS64 puts the arguments."""
        return aapcs64.place(self.types)

    @property
    def signature(self) -> str:
        """As a C prototype would list it, equal neighbours counted."""
        return describe(self.types, self.named)


def describe(types: Sequence[CType], named: int) -> str:
    """Argument types in words: "8 x long, pair, ..."."""
    words: list[tuple[str, int]] = []
    for index, type_ in enumerate(types):
        if index == named:
            words.append(("...", 1))
        word = type_.spelling
        if words and words[-1][0] == word:
            words[-1] = (word, words[-1][1] + 1)
        else:
            words.append((word, 1))
    return ", ".join(f"{count} x {word}" if count > 1 else word for word, count in words)
