# SPDX-License-Identifier: GPL-2.0-only
"""A case: one call of a probed function and what the handler does to it."""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from harness.abi import aapcs64, ctype
from harness.abi.ctype import BOOL, VA_LIST, CType
from harness.model.context import Context


class Agent(enum.Enum):
    """Who does something while the handler runs; in the order of enum probe_agent in C."""

    HANDLER = "handler"
    # On the same CPU, while the handler waits.
    INTERRUPT = "interrupt"
    # Another CPU, while the handler waits.
    CPU = "cpu"


class Frame(enum.Enum):
    """Whose stack frame something lies in."""

    CALLER = "caller"
    # The caller's caller.
    OUTER = "outer"


class Argument(NamedTuple):
    """One argument and the bytes that the caller passes."""

    type: CType
    # As long as the type; empty where only the guest knows the bytes: those of a va_list, and
    # all that a function of the kernel's own is passed.
    value: bytes
    # Passed is not this, but a struct whose one member is a pointer to it.
    boxed: bool = False

    @property
    def passed(self) -> CType:
        """The type in the prototype, as far as its placement goes."""
        return BOX if self.boxed else self.type

    @property
    def words(self) -> str:
        """The type in words."""
        spelling = self.type.spelling
        return f"{{{ctype.declared(spelling, '*')}}}" if self.boxed else spelling

    @property
    def flip_mask(self) -> int:
        """The bits of each byte that a handler can invert without making the value invalid."""
        return 0x01 if self.type == BOOL else 0xFF


# A struct with a pointer in it; which type that points at, its placement does not depend on.
BOX = ctype.composite("struct", "box", [ctype.POINTER])


def default_value(type_: CType, index: int) -> bytes:
    """Return the default value of argument `index`; no byte of it is zero."""
    if type_ == VA_LIST:
        return b""
    return b"\x01" if type_ == BOOL else _pattern(type_.size, index)


@functools.lru_cache(1024)
def _pattern(size: int, index: int) -> bytes:
    return bytes((index * 37 + offset * 11) % 255 + 1 for offset in range(size))


@dataclass(frozen=True)
class Consume:
    """Read long arguments from a va_list, as a handler that formats does."""

    argument: int
    words: int


@dataclass(frozen=True)
class Log:
    """Have vsnprintf() format a va_list, as a handler that logs what is printed does."""

    # The arguments that are the format and the va_list.
    format: int
    argument: int


@dataclass(frozen=True)
class Handler:
    """What the handler does, in this order; with the defaults it does nothing."""

    # Bytes of stack used by a deep call.
    dive: int = 0
    # Indices of the parameters that it assigns to: every bit is inverted.
    assign: tuple[int, ...] = ()
    # The number of bytes, from SP upwards, that it inverts.
    overwrite: int = 0
    consume: Consume | None = None
    log: Log | None = None


class ObjectKind(enum.Enum):
    """What an object is, and what is written to it."""

    # An array of bytes: every bit is inverted.
    BYTES = "bytes"
    # A word: one is added.
    COUNTER = "counter"
    # A struct completion: complete() is called.  Its count is what is compared.
    COMPLETION = "completion"
    # The head of an empty list: list_add().
    LIST = "list"


class Effect(enum.Enum):
    """What user space notices where a function of the kernel's own finds an argument corrupt."""

    NONE = "none"
    # The kernel does something else than it was asked for.
    WRONG_VALUE = "wrong value"
    # It writes something else than it means.
    GARBLED = "garbled"
    # The task is killed.
    OOPS = "oops"


@dataclass(frozen=True)
class Real:
    """A function of the kernel's own, and what leads to a call of it."""

    function: str
    # What a program in the guest does: see kernel-modules/drive/drive.c.
    action: str
    # Which of the calls that this leads to is the one that counts, from 1.
    call: int
    effect: Effect
    # What the program finds where all arguments are intact, and where one is not; empty where
    # it is killed.
    intact: str
    corrupt: str


# The size in bytes of each kind whose size is fixed.
_SIZES = {ObjectKind.COUNTER: 8, ObjectKind.COMPLETION: 4, ObjectKind.LIST: 16}


@dataclass(frozen=True)
class Object:
    """A variable on the caller's stack that others may legitimately write to."""

    kind: ObjectKind
    # In bytes.
    size: int
    frame: Frame = Frame.CALLER
    # Who writes to it while the handler runs, or None.
    writer: Agent | None = None
    # The forwarded argument that it is, or None for a variable of its own.
    argument: int | None = None

    def before(self, at: int) -> bytes:
        """Return the object's bytes before it is written to; `at` is its address."""
        match self.kind:
            case ObjectKind.BYTES:
                return bytes(0xA0 | offset % 16 for offset in range(self.size))
            case ObjectKind.COUNTER:
                return COUNTER_START.to_bytes(8, "little")
            case ObjectKind.COMPLETION:
                return bytes(4)
            case ObjectKind.LIST:
                return at.to_bytes(8, "little") * 2

    def after(self, at: int, node: int) -> bytes:
        """Return the object's bytes afterwards; `node` is the address of a list's new entry."""
        before = self.before(at)
        match self.kind:
            case ObjectKind.BYTES:
                return bytes(octet ^ 0xFF for octet in before)
            case ObjectKind.COUNTER | ObjectKind.COMPLETION:
                count = int.from_bytes(before, "little") + 1
                return count.to_bytes(len(before), "little")
            case ObjectKind.LIST:
                return node.to_bytes(8, "little") * 2


# Adding one to this value changes every byte of it.
COUNTER_START = (1 << 56) - 1


def object_size(kind: ObjectKind, size: int | None) -> int:
    """
    Return the size in bytes of an object, `size` for a kind without a fixed one.

    Raises ValueError where a size is missing, or given for a kind that has a fixed one.
    """
    own = _SIZES.get(kind)
    if (own is None) == (size is None):
        raise ValueError(
            f"a {kind.value} object has a size of its own" if own else "give a size in bytes"
        )
    return own or size or 0


@dataclass(frozen=True)
class Case:
    """One experiment."""

    name: str
    # What it shows, in one sentence.
    shows: str
    arguments: tuple[Argument, ...]
    # How many arguments are in the prototype; the rest is variadic.
    named: int
    handler: Handler = Handler()
    context: Context = Context.PROCESS
    # False if FP holds no frame's address at the call.
    valid_fp: bool = True
    # By-reference arguments that the caller passes on without a copy.
    forwarded: tuple[int, ...] = ()
    object: Object | None = None
    # Who calls another probed function while the handler runs, or None.
    nested: Agent | None = None
    # In place of a function of our own.
    real: Real | None = None

    @property
    def types(self) -> tuple[CType, ...]:
        """The types in the prototype, and of the variadic arguments."""
        return tuple(argument.passed for argument in self.arguments)

    @property
    def variadic(self) -> bool:
        return self.named < len(self.arguments)

    @functools.cached_property
    def layout(self) -> aapcs64.Layout:
        """Where AAPCS64 puts the arguments; what a box points at counts as by reference."""
        placed = aapcs64.place(self.types)
        return aapcs64.Layout(
            tuple(
                replace(placement, by_reference=True) if argument.boxed else placement
                for argument, placement in zip(self.arguments, placed.placements)
            ),
            placed.stack_size,
        )

    @property
    def signature(self) -> str:
        """The argument types in words, as describe() returns them."""
        return describe([argument.words for argument in self.arguments], self.named)


def describe(types: Sequence[str], named: int) -> str:
    """Return argument types in words: "8 x long, pair, ..."."""
    words: list[tuple[str, int]] = []
    for index, word in enumerate(types):
        if index == named:
            words.append(("...", 1))
        if words and words[-1][0] == word:
            words[-1] = (word, words[-1][1] + 1)
        else:
            words.append((word, 1))
    return ", ".join(f"{count} x {word}" if count > 1 else word for word, count in words)
