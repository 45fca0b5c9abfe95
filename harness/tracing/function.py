# SPDX-License-Identifier: GPL-2.0-only
"""The functions that are traced, and what attaches tracers to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.abi import aapcs64
from harness.inspect.guest import Guest
from harness.model.case import Case
from harness.model.observation import Observation
from harness.modules.casefunctions import NAMESPACE, symbol
from harness.tracers.reading import Traced

TRACEFS = "/sys/kernel/tracing"
BPFFS = "/sys/fs/bpf"
# How many characters a command line of the guest's has at most: it reads them one by one.
LINE_MAX = 8192


@dataclass(frozen=True)
class Function:
    """The probed function of a case in a guest."""

    case: Case
    symbol: str
    # In the BTF of its module, 0 for one that is not there.
    number: int
    traced: Traced

    @property
    def pattern(self) -> str:
        """What a filter may name it by, together with others."""
        return self.symbol if self.case.real else f"{NAMESPACE}_*_target"


def function(case: Case, numbered: Mapping[str, int]) -> Function:
    """Return a case's function; `numbered` are the functions of BTF by name."""
    name = symbol(case, "target")
    types = case.types[: case.named]
    traced = Traced(
        types,
        aapcs64.place(types),
        case.variadic,
        name in numbered,
        tuple(f"a{index}" for index in range(case.named)),
    )
    return Function(case, name, numbered.get(name, 0), traced)


# What was read of each argument, lowest byte first, None for nothing.
Values = tuple[bytes | None, ...]


class Attachment(ABC):
    """A tracer on functions in a guest, which ends with the guest."""

    @abstractmethod
    def attach(self, guest: Guest, functions: Sequence[Function]) -> list[str]:
        """Attach to all functions; return why each was refused, "" for one that was not."""

    @abstractmethod
    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        """Return what was read at each function's first call, empty for nothing."""


def mount(guest: Guest) -> None:
    """Mount the file systems that tracers are reached through, where the kernel has them."""
    guest.run(f"/bin/busybox mount -t tracefs none {TRACEFS}")
    guest.run(f"/bin/busybox mount -t bpf none {BPFFS}")


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
