# SPDX-License-Identifier: GPL-2.0-only
"""What stored results say, in one form whichever file or database they come from."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.errors import Exit

_COMPILER = re.compile(r"\b(gcc|clang)\b")
_VERSION = re.compile(r"\b\d+\.\d+(?:\.\d+)?\b")


def short_compiler(text: str) -> str:
    """Return what a compiler says it is as its name and version, such as "gcc 12.2.0"."""
    name, versions = _COMPILER.search(text), _VERSION.findall(text)
    return f"{name[1]} {versions[-1]}" if name and versions else text


def utc(seconds: float) -> str:
    """Return a time since the epoch to the minute."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


@dataclass(frozen=True)
class Run:
    """One run on one kernel, from which results come."""

    # The command that brought it: repro, nightly, cost, storm or survey.
    command: str
    # The file, or the nightly run's number.
    where: str
    # The spec, and uname -r.
    kernel: str
    release: str
    # In short, of the test modules; empty where nothing was compiled.
    compiler: str
    # What implements jprobes, "port" or "native"; empty where nothing says so.
    engine: str
    # When it was played, in UTC; empty if nothing says so.
    when: str
    # The plays that were planned, those with a verdict, and those not as predicted.
    planned: int = 0
    played: int = 0
    differ: int = 0
    # What went wrong beside the plays.
    errors: tuple[str, ...] = ()
    status: Exit = Exit.AGREES

    @property
    def column(self) -> str:
        """The kernel and the compiler, in a few words."""
        return ", ".join(filter(None, (self.release or self.kernel, self.compiler)))


@dataclass(frozen=True)
class CellResult:
    """What was observed in one cell."""

    run: Run
    variant: str
    case: str
    # Corrupt bytes by class of damage, 0 for a handler that did not run; None without a verdict.
    damage: Mapping[str, int] | None
    # Whether it is as predicted.
    agrees: bool


@dataclass(frozen=True)
class CostFound:
    """What a hit costs under a variant."""

    run: Run
    variant: str
    # A hit.
    instructions: float
    agrees: bool


@dataclass(frozen=True)
class StormFound:
    """What all CPUs at once saw under a variant."""

    run: Run
    variant: str
    hits: int
    # The most CPUs whose handlers ran at the same time.
    at_once: int
    agrees: bool


@dataclass(frozen=True)
class FunctionsFound:
    """A count of a kernel's functions by where their arguments lie."""

    run: Run
    # All that have a prototype.
    functions: int
    # By how many bytes of arguments they take on the stack.
    stacked: Mapping[int, int]
    by_reference: int
    # Those whose placement a prototype does not tell.
    unknown: int

    @property
    def most(self) -> int:
        """The most bytes that a function takes on the stack."""
        return max(self.stacked, default=0)


@dataclass(frozen=True)
class Evidence:
    """All results that claims are held against."""

    runs: tuple[Run, ...] = ()
    cells: tuple[CellResult, ...] = ()
    costs: tuple[CostFound, ...] = ()
    storms: tuple[StormFound, ...] = ()
    functions: tuple[FunctionsFound, ...] = ()
    # Kernels that could not be judged, and why.
    unjudged: tuple[str, ...] = ()

    @property
    def differing(self) -> tuple[CellResult, ...]:
        """The cells that are not as predicted, or have no verdict."""
        return tuple(cell for cell in self.cells if not cell.agrees)

    @property
    def exit_status(self) -> Exit:
        """The worst status of the runs, as of a comparison of kernels."""
        statuses = {run.status for run in self.runs}
        statuses |= {Exit.UNJUDGED} if self.unjudged else set()
        order = (Exit.DIFFERS, Exit.OWN_FAULT, Exit.INFRASTRUCTURE, Exit.USAGE, Exit.UNJUDGED)
        return next((status for status in order if status in statuses), Exit.AGREES)


def together(parts: Iterable[Evidence]) -> Evidence:
    """Return all of several results."""
    found = list(parts)
    return Evidence(
        runs=tuple(run for part in found for run in part.runs),
        cells=tuple(cell for part in found for cell in part.cells),
        costs=tuple(cost for part in found for cost in part.costs),
        storms=tuple(storm for part in found for storm in part.storms),
        functions=tuple(one for part in found for one in part.functions),
        unjudged=tuple(text for part in found for text in part.unjudged),
    )
