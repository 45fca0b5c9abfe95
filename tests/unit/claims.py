# SPDX-License-Identifier: GPL-2.0-only
"""Results that nobody played, made so that the measures of a claim are in given states."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from harness.answers.cells import cells_with, sizes_without
from harness.answers.claim import CellsFile, Claim, CostFile, SizesFile, State
from harness.answers.evidence import CellResult, Evidence, FunctionsFound, Run, StormFound
from harness.answers.found import Known, matches
from harness.errors import Exit

Cell = tuple[str, str]
States = Mapping[str, State]


def run(release: str = "6.1", status: Exit = Exit.AGREES, **fields: object) -> Run:
    given = {"command": "repro", "where": "out.json", "kernel": "debian:6.1", "compiler": "gcc 12",
             "engine": "port", "when": "2026-01-02 03:04 UTC"}  # fmt: skip
    return Run(release=release, status=status, **given | fields)  # type: ignore[arg-type]


RUN = run()


def cell(
    variant: str, case: str, *, of: Run = RUN, agrees: bool = True, **sizes: int
) -> CellResult:
    damage = {name.replace("_", "-"): size for name, size in sizes.items()}
    return CellResult(of, variant, case, damage, agrees)


def clean(known: Known, variants: tuple[str, ...] | None = None) -> dict[Cell, dict[str, int]]:
    """Return the damage of each cell where nothing is corrupt, and each nested probe missed."""
    return {
        (variant, case): {"missed": 0} if "nested" in {t.value for t in traits} else {}
        for variant in (known.variants if variants is None else variants)
        for case, traits in known.cases.items()
    }


def evidence(damage: Mapping[Cell, Mapping[str, int]], of: Run = RUN, **fields: object) -> Evidence:
    cells = tuple(CellResult(of, *place, sizes, True) for place, sizes in damage.items())
    return Evidence(runs=(of,), cells=cells, **fields)  # type: ignore[arg-type]


def _found(
    claim: Claim, damage: Mapping[Cell, Mapping[str, int]], known: Known
) -> dict[str, State]:
    """Return the states of the measures that count cells."""
    cells = evidence(damage).cells
    states = {}
    for name, measure in claim.file.measures.items():
        subject = measure.subject
        if isinstance(subject, CellsFile):
            states[name] = cells_with(subject, cells, known).state
        elif isinstance(subject, SizesFile):
            states[name] = sizes_without(subject, cells, known).state
    return states


def _changes(subject: CellsFile | SizesFile, known: Known) -> Iterator[tuple[Cell, str | None]]:
    """Yield damage that may turn a measure to some: a cell, and a class that it gets or loses."""
    for variant, (case, traits) in itertools.product(known.variants, known.cases.items()):
        if not matches(variant, subject.variants):
            continue
        if isinstance(subject, CellsFile):
            having = subject.having is None or subject.having in traits
            if (
                not having
                or not matches(case, subject.cases or ["*"])
                or matches(case, subject.but)
            ):
                continue
            if subject.without:
                yield (variant, case), None
                continue
        for damage in subject.classes:
            yield (variant, case), damage.value


def made(claim: Claim, states: States, known: Known) -> Evidence:
    """Return results by which the measures of a claim are in these states."""
    damage = clean(known)
    wanted = dict(states)
    for name, measure in claim.file.measures.items():
        subject = measure.subject
        if name in wanted and isinstance(subject, CellsFile | SizesFile):
            if isinstance(subject, SizesFile) and wanted[name] is State.NONE:
                # Each size has to leave something.
                for variant in known.variants:
                    if matches(variant, subject.variants):
                        damage[variant, next(iter(known.cases))] = {subject.classes[0].value: 1}
            elif isinstance(subject, CellsFile) and wanted[name] is State.SOME:
                damage = _with_some(claim, name, damage, wanted, known)
    for name, measure in claim.file.measures.items():
        subject = measure.subject
        if wanted.get(name) is State.MISSING and isinstance(subject, CellsFile):
            unseen = {place for place, _ in _changes(subject, known)}
            damage = {place: one for place, one in damage.items() if one or place not in unseen}
    return evidence(damage, functions=_functions(claim, wanted), storms=_storms(claim, wanted))


def _with_some(
    claim: Claim, name: str, damage: dict[Cell, dict[str, int]], wanted: States, known: Known
) -> dict[Cell, dict[str, int]]:
    """Return the damage with some that this measure counts, and none that others should not."""
    subject = claim.file.measures[name].subject
    assert isinstance(subject, CellsFile)
    for place, word in _changes(subject, known):
        changed = {**damage, place: {**damage[place], word: 8} if word else {}}
        states = _found(claim, changed, known)
        clear = [other for other, state in wanted.items() if state is State.NONE]
        if all(states.get(other, State.NONE) is State.NONE for other in clear):
            return changed
    raise AssertionError(f"{claim.name}: nothing makes {name} {wanted[name]} alone")


def _functions(claim: Claim, wanted: States) -> tuple[FunctionsFound, ...]:
    subjects = {
        name: measure.functions
        for name, measure in claim.file.measures.items()
        if measure.functions
    }
    asked = {name: wanted[name] for name in subjects if name in wanted}
    if not asked or State.MISSING in asked.values():
        return ()

    def some(name: str) -> bool:
        return asked.get(name) is State.SOME

    stacked = {
        subject.over + 8: 3
        for name, subject in subjects.items()
        if subject.lie == "stacked" and some(name)
    }
    counts = {
        kind: int(any(some(name) and one.lie == kind for name, one in subjects.items()))
        for kind in ("by-reference", "unknown")
    }
    return (
        FunctionsFound(run(compiler=""), 1000, stacked, counts["by-reference"], counts["unknown"]),
    )


def _storms(claim: Claim, wanted: States) -> tuple[StormFound, ...]:
    for name, measure in claim.file.measures.items():
        if measure.storm and wanted.get(name) in (State.NONE, State.SOME):
            at_once = 2 if wanted[name] is State.SOME else 1
            return (StormFound(RUN, "none", 1000, at_once, True),)
    return ()


def choices(
    claim: Claim, states: tuple[State, ...] = (State.NONE, State.SOME)
) -> Iterator[dict[str, State]]:
    """Yield each way in which the measures that decide can be, those with most results first."""
    names = [
        name for name, one in claim.file.measures.items() if not isinstance(one.subject, CostFile)
    ]
    chosen = itertools.product(states, repeat=len(names))
    for choice in sorted(chosen, key=lambda choice: choice.count(State.MISSING)):
        yield dict(zip(names, choice))


def is_possible(claim: Claim, states: States) -> bool:
    """Return whether surveys can be so: a function with over 128 bytes has more than none."""
    over = {
        name: one.functions.over
        for name, one in claim.file.measures.items()
        if one.functions and one.functions.lie == "stacked"
    }
    return not any(
        over[more] > over[less] and states[more] is State.SOME and states[less] is State.NONE
        for more, less in itertools.permutations(over, 2)
    )
