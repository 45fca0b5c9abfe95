# SPDX-License-Identifier: GPL-2.0-only
"""The functions that are traced, and what attaches tracers to them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.inspect.guest import Guest
from harness.model.case import Case
from harness.model.observation import Moment, Observation
from harness.modules.casefunctions import NAMESPACE
from harness.tracers.reading import Traced

TRACEFS = "/sys/kernel/tracing"
BPFFS = "/sys/fs/bpf"
MODULE, VMLINUX = "probe_targets", "vmlinux"
# Times are rounded to microseconds.
_ROUNDED = 1
# How many characters a command line of the guest's has at most: it reads them one by one.
LINE_MAX = 8192
_NUMBER = re.compile("-?(0x[0-9a-f]{1,16}|[0-9]{1,20})")


@dataclass(frozen=True)
class Function:
    """The probed function of a case in a guest."""

    case: Case
    symbol: str
    # In the BTF of its module, 0 for one that is not there.
    number: int
    traced: Traced

    @property
    def module(self) -> str:
        """The name of the BTF that has the function."""
        return VMLINUX if self.case.real else MODULE

    @property
    def pattern(self) -> str:
        """What a filter may name it by, together with others."""
        return self.symbol if self.case.real else f"{NAMESPACE}_*_target"


# What was read of each argument, lowest byte first, None for nothing.
Values = tuple[bytes | None, ...]
Read = TypeVar("Read")


@dataclass(frozen=True)
class Call(Generic[Read]):
    """A call that a tracer saw, and what it read of it."""

    # In microseconds, by the monotonic clock.
    time: int
    cpu: int
    pid: int
    read: Read


def chosen(calls: Sequence[Call[Read]], moment: Moment | None) -> Read | None:
    """
    Return what was read at the first call or, with a `moment`, at the call that was hit then.

    The tracer comes after the probe that tells the moment.
    """
    for call in calls:
        if moment is None or (
            (call.cpu, call.pid) == (moment.cpu, moment.pid)
            and call.time >= moment.time // 1000 - _ROUNDED
        ):
            return call.read
    return None


class Attachment(ABC):
    """A tracer on functions in a guest, which ends with the guest."""

    # Whether it keeps so few calls that functions which others call, too, are traced one at a time.
    forgets = False

    @abstractmethod
    def attach(self, guest: Guest, functions: Sequence[Function]) -> list[str]:
        """Attach to all functions; return why each was refused, "" for one that was not."""

    @abstractmethod
    def detach(self, guest: Guest) -> None:
        """Detach from all functions, and forget what was read."""

    @abstractmethod
    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        """
        Return what was read at each function's call, empty for nothing.

        It is the first call, or the one that was observed at a moment of its own.
        """


def number(text: str) -> int | None:
    """Return a number of up to 64 bits as the kernel prints it, None for anything else."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(text, 16 if "x" in text else 10)


def mount(guest: Guest) -> None:
    """Mount the file systems that tracers are reached through, where the kernel has them."""
    guest.run(f"/bin/busybox mount -t tracefs none {TRACEFS}")
    guest.run(f"/bin/busybox mount -t bpf none {BPFFS}")
    guest.run(f"echo mono >{TRACEFS}/trace_clock")


def in_lines(words: Sequence[str]) -> list[list[str]]:
    """Return words in groups that are short enough for a command line each."""
    groups: list[list[str]] = []
    size = LINE_MAX
    for word in words:
        size += len(word) + 1
        if size > LINE_MAX:
            groups.append([])
            size = len(word) + 1
        groups[-1].append(word)
    return groups
