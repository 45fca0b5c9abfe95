# SPDX-License-Identifier: GPL-2.0-only
"""What is not as predicted, the same together and the worst first.  Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.run.plan import Outcome

T = TypeVar("T")

# What tells sentences of one kind apart: numbers, bytes, and a type in brackets.
_NUMBERS = r"(?:0x)?\b[\da-f]*\d[\da-f]*\b"
_LOOKED_AT = 2000
_DETAIL = re.compile(rf"{_NUMBERS}(?:(?:-|, ){_NUMBERS})*|\([^)]*\)")


def kind(sentence: str) -> str:
    """The same for sentences that differ in numbers alone."""
    # What follows in a longer one is the guest's, and _DETAIL is not for that much.
    return _DETAIL.sub("#", sentence[:_LOOKED_AT])


def sorted_groups(
    items: Iterable[T], key: Callable[[T], Hashable], rank: Callable[[T], int]
) -> list[list[T]]:
    """Items with the same key together; by the least rank, then the largest group first."""
    found: dict[Hashable, list[T]] = {}
    for item in sorted(items, key=rank):
        found.setdefault(key(item), []).append(item)
    return sorted(found.values(), key=lambda group: (rank(group[0]), -len(group)))


@dataclass(frozen=True)
class Group:
    """Plays of one variant that differ for the same reasons; one at least."""

    outcomes: Sequence[Outcome]

    @property
    def first(self) -> Outcome:
        return self.outcomes[0]


def _reasons(outcome: Outcome) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind(reason) for reason in outcome.reasons))


def _rank(outcome: Outcome) -> int:
    """0 where the kernel died or complained, 1 for corruption that nobody predicted."""
    verdict = outcome.verdict
    if verdict is None or outcome.splats:
        return 0
    predicted, seen = verdict.prediction, verdict.observation
    corrupt = any(
        offsets - predicted.corrupt.get(index, frozenset())
        for index, offsets in verdict.corrupt.items()
    )
    overflown = (seen.overflow or 0) > predicted.overflow
    worse = corrupt or verdict.lost - predicted.lost or overflown or seen.stray or seen.new_taint
    return 1 if worse else 2


def groups(outcomes: Iterable[Outcome]) -> list[Group]:
    """Return the outcomes that differ, by variant and reasons."""
    found = sorted_groups(outcomes, lambda o: (o.play.variant.name, _reasons(o)), _rank)
    return [Group(group) for group in found]
