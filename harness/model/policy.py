# SPDX-License-Identifier: GPL-2.0-only
"""
What each stack policy saves at a hit, as the review of July 2016 or its origin states it.

These predictions are compared with what kernel-modules/stack-policy/stack_policy.h
does.  Do not derive one from the other.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Rule(enum.Enum):
    """How a policy computes its window; the values are the words of a plan."""

    # Saves nothing: v4.8 as released.
    NONE = "none"
    # min(size, top - SP): other architectures, and v15 with the overflow fix
    # (kernel commit ab4c1325d4bf).
    FIXED = "fixed"
    # As posted (kernel commit 2dd0e8d2d2a1): on the interrupt stack the window
    # is limited by that stack's size, not by the buffer's.
    V15 = "v15"
    # FP - SP; the hook is skipped when that is more than the buffer or FP is
    # not a frame on this stack.
    FP_DELTA = "fp-delta"
    # Everything from SP to the stack's top.
    THREAD_SIZE = "thread-size"
    # Exactly the bytes in memory that belong to the named arguments by the function's prototype:
    # those on the stack, and those that are passed by reference.  The review did not know it.
    SIGNATURE = "signature"
    # Whatever the kernel's own jprobes do; nothing is predicted of it.
    KERNEL = "kernel"

    @property
    def sized(self) -> bool:
        """Whether the rule has a save buffer whose size can be chosen."""
        return self in (Rule.FIXED, Rule.V15, Rule.FP_DELTA)


@dataclass(frozen=True)
class Policy:
    """One rule with its buffer."""

    rule: Rule
    # Size of the save buffer in bytes, for rules whose buffer size can be chosen.
    size: int = 0


@dataclass(frozen=True)
class Hit:
    """The stack at the hit of a probe; addresses and sizes in bytes."""

    sp: int
    # x29, still the caller's.
    fp: int
    # First address above the stack.
    top: int
    # Whether this is a per-CPU interrupt stack.
    irq: bool
    # 0 if interrupts run on the stack of the task that they interrupt.
    irq_stack_size: int


# A range of addresses; the second one is behind its last byte.
Span = tuple[int, int]


def size_of(spans: Iterable[Span]) -> int:
    """Return the number of bytes in spans."""
    return sum(end - start for start, end in spans)


@dataclass(frozen=True)
class Save:
    """The bytes that a policy saves at a hit."""

    # What is copied, and later put back.
    spans: tuple[Span, ...]
    # Of these, bytes written past the end of the save buffer.
    overflow: int = 0

    @property
    def size(self) -> int:
        """The number of bytes that are copied."""
        return size_of(self.spans)


def fp_is_frame(hit: Hit) -> bool:
    """Return whether FP points at a two-word frame record between SP and the stack's top."""
    return hit.fp % 8 == 0 and hit.sp <= hit.fp <= hit.top - 16


def save(policy: Policy, hit: Hit, arguments: Iterable[Span] = ()) -> Save | None:
    """
    Return what `policy` saves at `hit`, or None where it skips the handler.

    `arguments` is where the function's named arguments lie in memory.
    """
    depth = hit.top - hit.sp

    def window(size: int, overflow: int = 0) -> Save:
        return Save(((hit.sp, hit.sp + size),), overflow)

    match policy.rule:
        case Rule.NONE:
            return window(0)
        case Rule.FIXED:
            return window(min(policy.size, depth))
        case Rule.V15:
            limit = hit.irq_stack_size if hit.irq else policy.size
            size = min(limit, depth)
            return window(size, max(0, size - policy.size))
        case Rule.FP_DELTA:
            delta = hit.fp - hit.sp
            if not fp_is_frame(hit) or delta > policy.size:
                return None
            return window(delta)
        case Rule.THREAD_SIZE:
            return window(depth)
        case Rule.SIGNATURE:
            return Save(tuple(arguments))
        case Rule.KERNEL:
            raise ValueError("what a kernel does itself is not known")


@dataclass(frozen=True)
class Changes:
    """What is done to a tree before it is built."""

    # The user's patch files, in order.
    patches: tuple[str, ...] = ()
    # NAME=VALUE for macros that the tree defines.
    settings: tuple[str, ...] = ()


NO_CHANGES = Changes()


@dataclass(frozen=True)
class Variant:
    """A named policy."""

    name: str
    # The policy that the guest is asked to follow.
    policy: Policy
    # What it saves, in words.
    saves: str
    # Who proposed or ships it.
    origin: str
    # For a kernel's own policy: what is done to its tree.
    changes: Changes = NO_CHANGES
    # For a kernel's own policy: which one it was found to be, or None if that is not known.
    found: Policy | None = None

    @property
    def expected(self) -> Policy:
        """The policy that predictions are made from."""
        return self.found or self.policy
