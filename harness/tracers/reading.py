# SPDX-License-Identifier: GPL-2.0-only
"""What a tracer makes of a function: a refusal, or what it reads of each argument."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from harness.abi.aapcs64 import Layout
from harness.abi.ctype import CType


class Read(enum.Enum):
    """What a tracer reads of one argument."""

    RIGHT = "right"
    # Its first bytes, and not the others.
    TRUNCATED = "truncated"
    # The address of the copy that the caller made (rule B.4), as if that were the value.
    ADDRESS = "an address"
    ZERO = "zero"
    # Another argument's bytes, or what happens to be there.
    ANOTHER = "another's"
    # Nothing: the tracer stops before it.
    ABSENT = "absent"


@dataclass(frozen=True)
class Traced:
    """A function as a tracer sees it: where its arguments lie by AAPCS64."""

    types: tuple[CType, ...]
    layout: Layout
    variadic: bool


@dataclass(frozen=True)
class Reading:
    """What a tracer makes of a function."""

    # For each argument; empty where the function is refused.
    reads: tuple[Read, ...] = ()
    # Why the function is refused, in a few words.
    refused: str = ""
    # The arguments that are wrong in the function itself, as the tracer calls it anew.
    corrupts: tuple[int, ...] = ()

    @property
    def right(self) -> bool:
        """Whether all is read as it is passed, and left so."""
        return not (self.refused or self.corrupts) and set(self.reads) <= {Read.RIGHT}
