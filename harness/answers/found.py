# SPDX-License-Identifier: GPL-2.0-only
"""What a measure of a claim found, and what it has to know of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.answers.claim import State, Trait
from harness.answers.evidence import Run
from harness.cases.catalog import Catalog
from harness.model.case import Case


@dataclass(frozen=True)
class Known:
    """The cases and variants that there are."""

    cases: Mapping[str, frozenset[Trait]]
    # In the catalogue's order.
    variants: tuple[str, ...]
    # The cases that no kernel lacks the function of.
    everywhere: frozenset[str]


def known(catalog: Catalog) -> Known:
    """Return what is known of a catalogue."""
    cases = {name: traits(case) for name, case in catalog.cases.items()}
    everywhere = frozenset(name for name, case in catalog.cases.items() if not case.real)
    return Known(cases, tuple(catalog.variants), everywhere)


def traits(case: Case) -> frozenset[Trait]:
    """Return what a case has."""
    by_reference = any(placement.by_reference for placement in case.layout.placements)
    stacked = case.layout.stack_size > 0
    has = {
        Trait.REGISTERS: not (by_reference or stacked),
        Trait.STACKED: stacked,
        Trait.BY_REFERENCE: by_reference,
        Trait.VARIADIC: case.variadic,
        Trait.WRITTEN: bool(case.object and case.object.writer),
        Trait.NESTED: case.nested is not None,
        Trait.REAL: case.real is not None,
    }
    return frozenset(trait for trait, is_so in has.items() if is_so)


@dataclass(frozen=True)
class Example:
    """A cell that shows what is counted; `size` is in bytes, 0 where none is corrupt."""

    variant: str
    case: str
    size: int

    def __str__(self) -> str:
        unit = "byte" if self.size == 1 else "bytes"
        return f"{self.size:,} {unit} in {self.case}" if self.size else self.case


@dataclass(frozen=True)
class Column:
    """What was counted on one kernel with one compiler."""

    run: Run
    found: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a measure found."""

    name: str = ""
    # What is counted, in words.
    counts: str = ""
    state: State
    found: int = 0
    of: int = 0
    # The numbers in a few words; empty where there are none.
    text: str = ""
    columns: tuple[Column, ...] = ()
    # The example with the fewest corrupt bytes.
    least: Example | None = None
    # How many of what was counted are not as predicted.
    differ: int = 0
    # Why there is no result, and the command that brings one where the claim's own does not.
    why: str = ""
    command: str = ""

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(column.run for column in self.columns)


def missing(why: str) -> Measured:
    """Return that there is no result, and why."""
    return Measured(state=State.MISSING, why=why)


def state(found: int) -> State:
    return State.SOME if found else State.NONE


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name is one of these names or fits one of these patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
