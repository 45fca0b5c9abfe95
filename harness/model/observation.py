# SPDX-License-Identifier: GPL-2.0-only
"""What the guest saw when it played a case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.abi.offsets import NONE, Offsets
from harness.model.context import Context
from harness.model.policy import Hit


# A play has many: a tuple is made in a fraction of the time that a frozen dataclass takes.
class Look(NamedTuple):
    """The bytes at one place at up to three moments; None where they were not recorded."""

    # The address; 0 for the argument area, which starts at SP.
    at: int = 0
    # As the handler found it.
    before: bytes | None = None
    # As the handler left it.
    after: bytes | None = None
    # As the probed function saw it.
    seen: bytes | None = None


@dataclass(frozen=True)
class Counts:
    """How often each part of a case ran."""

    hits: int
    handler: int
    target: int
    missed: int
    skipped: int


@dataclass(frozen=True)
class Nested:
    """The observation of the probed function that was called while the handler ran."""

    counts: Counts
    # Nine words: what its caller passed, and what it saw.
    sent: bytes
    seen: bytes


@dataclass(frozen=True)
class CallerFrame:
    """The caller's registers and frame, for a case that was sent as data."""

    # x0-x7 as the handler, and as the probed function found them; 64 bytes.
    passed: bytes | None
    arrived: bytes | None
    # The frame from SP at the call upwards, at the moments of a Look.
    before: bytes | None
    after: bytes | None
    seen: bytes | None


@dataclass(frozen=True)
class Driven:
    """How a call of a function of the kernel's own went, which a program led to."""

    # x0-x7 as the handler, and as the function found them; 64 bytes, None without a hit.
    passed: bytes | None
    arrived: bytes | None
    # The program's, as wait(2) has it, and what it found.
    status: int
    effect: str

    @property
    def signal(self) -> int:
        """The signal that it was killed by, or 0."""
        return self.status & 0x7F


@dataclass(frozen=True)
class Moment:
    """When and where the hit was that counts."""

    # In nanoseconds, by the monotonic clock.
    time: int
    cpu: int
    pid: int


@dataclass(frozen=True)
class Observation:
    """The guest's record of one play."""

    # Position in the plan, from 1.
    seq: int
    # The plan's line, as the guest read it.
    line: str
    hit: Hit
    # The context in which the probed function ran.
    context: Context
    counts: Counts
    # Bytes copied at the hit, -1 if the handler was skipped, None if the kernel does not report it.
    saved: int | None
    # Bytes written past the save buffer, None if the kernel does not report it.
    overflow: int | None
    # The argument area on the stack.
    area: Look
    # By argument index: the argument as the compiled function's own code read it.
    arguments: Mapping[int, Look] = field(default_factory=dict)
    object: Look | None = None
    # Address of the entry that was added to an object that is a list.
    node: int = 0
    nested: Nested | None = None
    frame: CallerFrame | None = None
    driven: Driven | None = None
    # Of a function of the kernel's own that was called without a jprobe.
    moment: Moment | None = None
    # Offsets from SP of bytes of `frame` that changed although nothing in it owns them.
    stray: Offsets = NONE
    # Taint flags that the kernel gained while the case ran.
    new_taint: int = 0
