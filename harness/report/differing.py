# SPDX-License-Identifier: GPL-2.0-only
"""Groups plays that are not as predicted, the worst first; no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.run.plan import Outcome

T = TypeVar("T")

# The parts in which sentences of one kind differ: numbers, bytes, and a type in brackets.
_NUMBERS = r"(?:0x)?\b[\da-f]*\d[\da-f]*\b"
_LOOKED_AT = 2000
_DETAIL = re.compile(rf"{_NUMBERS}(?:(?:-|, ){_NUMBERS})*|\([^)]*\)")


def kind(sentence: str) -> str:
    """Return a key that is the same for sentences that differ only in numbers."""
    # A longer sentence quotes the guest, and would take _DETAIL too long.
    return _DETAIL.sub("#", sentence[:_LOOKED_AT])


def sorted_groups(
    items: Iterable[T], key: Callable[[T], Hashable], rank: Callable[[T], int]
) -> list[list[T]]:
    """Return items grouped by key, ordered by lowest rank, then the largest group first."""
    found: dict[Hashable, list[T]] = {}
    for item in sorted(items, key=rank):
        found.setdefault(key(item), []).append(item)
    return sorted(found.values(), key=lambda group: (rank(group[0]), -len(group)))


@dataclass(frozen=True)
class Group:
    """One or more plays of a variant that differ for the same reasons."""

    outcomes: Sequence[Outcome]

    @property
    def first(self) -> Outcome:
        return self.outcomes[0]


def _reasons(outcome: Outcome) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind(reason) for reason in outcome.reasons))


def _rank(outcome: Outcome) -> int:
    """Return 0 if the kernel died or complained, 1 for corruption not predicted, else 2."""
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
