# SPDX-License-Identifier: GPL-2.0-only
"""What a tracer makes of a function: a refusal, or what it reads of each argument."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.abi.aapcs64 import Layout
from harness.abi.ctype import CType
from harness.abi.offsets import Offsets


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
    # Whether BTF describes it.
    btf: bool = True
    # The parameters' names; empty where they are not known.
    names: tuple[str, ...] = ()
    # Whether it returns a struct or union by value.
    returns_aggregate: bool = False
    # Whether BPF programs may change what it returns.
    modifiable: bool = True
    # Whether ftrace may patch it; not where it is notrace.
    traceable: bool = True


@dataclass(frozen=True)
class Reading:
    """What a tracer makes of a function."""

    # For each argument; empty where the function is refused.
    reads: tuple[Read, ...] = ()
    # Why the function is refused, in a few words.
    refused: str = ""
    # The bytes that are wrong in the function itself, as the tracer calls it anew, by argument.
    corrupts: Mapping[int, Offsets] = field(default_factory=dict)
    # Whether the function is called at all.
    called: bool = True

    @property
    def right(self) -> bool:
        """Whether all is read as it is passed, and left so."""
        kept = self.called and not (self.refused or self.corrupts)
        return kept and set(self.reads) <= {Read.RIGHT}
