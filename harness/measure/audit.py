# SPDX-License-Identifier: GPL-2.0-only
"""Which functions of a kernel each tracer misreads, refuses or changes, by the tracers' rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.abi.aapcs64 import GENERAL_REGISTERS
from harness.abi.ctype import Composite
from harness.measure.survey import Function, Placement, placed
from harness.prototypes.source import Prototypes
from harness.tracers.reading import Read, Reading, Traced
from harness.tracers.rules import Rule
from harness.tracers.tracer import Ruled, Tracer

# How many arguments the function tracer prints.
PRINTED = 6


@dataclass(frozen=True)
class Facts:
    """Functions by what their prototypes have that tracers trip over."""

    # All whose placement is known.
    functions: int
    stacked: int
    # More than six arguments.
    many: int
    # An argument that is in registers, but not in that of its index.
    shifted: int
    by_reference: int
    # A struct or union on the stack by value.
    struct_stacked: int
    unknown: int


@dataclass(frozen=True)
class Tally:
    """What one tracer makes of all functions whose placement is known."""

    tracer: Tracer
    ruled: Ruled
    # All is read as it is passed, and left so.
    right: int
    # Some argument is read as something else, by what it is read as.
    reads: Mapping[Read, int]
    refused: Mapping[str, int]
    corrupted: tuple[Function, ...]
    # Functions that are misread: those with the most wrong arguments first.
    worst: tuple[Function, ...]


@dataclass(frozen=True)
class Audit:
    """One kernel's functions under the tracers that it has."""

    spec: str
    release: str
    source: str
    functions: tuple[Function, ...]
    facts: Facts
    tallies: tuple[Tally, ...]
    # The functions in the image's own symbols by name; None where it has none that are known.
    symbols: frozenset[str] | None = field(repr=False)


def traced(placement: Placement) -> Traced | None:
    """Return a signature as tracers see it, or None where its placement is not known."""
    types = tuple(one.type for one in placement.signature.parameters if one.type)
    if placement.layout is None:
        return None
    names = tuple(one.name for one in placement.signature.parameters)
    signature = placement.signature
    return Traced(
        types,
        placement.layout,
        signature.variadic,
        names=names,
        returns_aggregate=signature.returns_aggregate,
        modifiable=False,
    )


def audit(prototypes: Prototypes, release: tuple[int, int], tracers: Iterable[Tracer]) -> Audit:
    """Hold a kernel's functions against the rules of the tracers that its release has."""
    chosen = [(one, ruled) for one in tracers if (ruled := one.ruled(release))]
    functions = placed(prototypes)
    # Several tracers have a rule in common.
    tallies: dict[Rule, Tally] = {}
    for tracer, ruled in chosen:
        if ruled.rule not in tallies:
            tallies[ruled.rule] = _tally(tracer, ruled, functions)
    return Audit(
        spec=prototypes.spec,
        release=prototypes.release,
        source=prototypes.source,
        functions=functions,
        facts=_facts(functions),
        tallies=tuple(
            replace(tallies[ruled.rule], tracer=tracer, ruled=ruled) for tracer, ruled in chosen
        ),
        symbols=prototypes.symbols,
    )


def _facts(functions: Sequence[Function]) -> Facts:
    known = [(one, found) for one in functions if (found := traced(one.placement))]
    return Facts(
        functions=len(known),
        stacked=sum(bool(one.stacked) for one, _ in known),
        many=sum(len(found.types) > PRINTED for _, found in known),
        shifted=sum(map(_is_shifted, (found for _, found in known))),
        by_reference=sum(bool(one.by_reference) for one, _ in known),
        struct_stacked=sum(map(_has_struct_on_stack, (found for _, found in known))),
        unknown=len(functions) - len(known),
    )


def _is_shifted(one: Traced) -> bool:
    placements = enumerate(one.layout.placements)
    return any(
        placement.general and placement.general[0] != index
        for index, placement in placements
        if index < GENERAL_REGISTERS
    )


def _has_struct_on_stack(one: Traced) -> bool:
    return any(
        isinstance(type_, Composite) and placement.stack is not None and not placement.by_reference
        for type_, placement in zip(one.types, one.layout.placements)
    )


def _tally(tracer: Tracer, ruled: Ruled, functions: Sequence[Function]) -> Tally:
    readings: dict[Placement, Reading] = {}
    reads: Counter[Read] = Counter()
    refused: Counter[str] = Counter()
    corrupted, wrong = [], []
    right = 0
    for one in functions:
        found = traced(one.placement)
        if found is None:
            continue
        if one.placement not in readings:
            readings[one.placement] = ruled.rule(found)
        reading = readings[one.placement]
        right += reading.right
        if reading.refused:
            refused[reading.refused] += 1
            continue
        reads.update(set(reading.reads) - {Read.RIGHT})
        if count := misread(reading):
            wrong.append((-count, one.name, one))
        if reading.corrupts:
            corrupted.append(one)
    wrong.sort(key=lambda row: row[:2])
    return Tally(
        tracer,
        ruled,
        right,
        reads,
        refused,
        tuple(corrupted),
        tuple(one for _, _, one in wrong),
    )


def misread(reading: Reading) -> int:
    """Return how many arguments are misread."""
    return sum(read is not Read.RIGHT for read in reading.reads)
