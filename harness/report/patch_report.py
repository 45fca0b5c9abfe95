# SPDX-License-Identifier: GPL-2.0-only
"""Reports what a patch changes: each cell with and without it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from harness.errors import Exit
from harness.report import kernels_report, terminal
from harness.run.plan import Outcome
from harness.run.result import Comparison, Result


class Effect(enum.Enum):
    """What a patch does to a cell."""

    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    # Less of one damage, more of another.
    OTHER = "other"


@dataclass(frozen=True)
class Change:
    """A cell before and after the patch; None if it was not played."""

    variant: str
    case: str
    before: Outcome | None
    after: Outcome | None
    effect: Effect


def _effect(before: Outcome | None, after: Outcome | None) -> Effect:
    was, is_ = bool(before and before.judged), bool(after and after.judged)
    if not (before and was and after and is_):
        # A play that had a verdict and lost it, as when the kernel dies, is worse.
        return Effect.SAME if was == is_ else Effect.WORSE if was else Effect.BETTER
    one, other = before.damage, after.damage
    signs = set()
    for damage in {*one, *other}:
        # Damage without bytes, such as a skipped handler, either occurs or does not.
        less = (damage in one, one.get(damage, 0))
        more = (damage in other, other.get(damage, 0))
        signs.add((more > less) - (more < less))
    if 1 in signs and -1 in signs:
        return Effect.OTHER
    return Effect.WORSE if 1 in signs else Effect.BETTER if -1 in signs else Effect.SAME


def changes(before: Result, after: Result) -> list[Change]:
    """Return the change of every cell, in the plan's order."""

    def cells(result: Result) -> dict[tuple[str, str], Outcome]:
        return {(o.play.variant.name, o.play.case.name): o for o in result.outcomes}

    one, other = cells(before), cells(after)
    return [
        Change(*key, one.get(key), other.get(key), _effect(one.get(key), other.get(key)))
        for key in dict.fromkeys([*one, *other])
    ]


def exit_status(comparison: Comparison) -> Exit:
    """Return DIFFERS also if all is as predicted but the patch makes something worse."""
    if comparison.exit_status is Exit.AGREES and any(
        change.effect in (Effect.WORSE, Effect.OTHER) for change in changes(*comparison.results)
    ):
        return Exit.DIFFERS
    return comparison.exit_status


_STYLES = {
    Effect.SAME: "",
    Effect.BETTER: "green",
    Effect.WORSE: "bold red",
    Effect.OTHER: "yellow",
}


def _rows(found: list[Change]) -> Iterator[tuple[str | Text, ...]]:
    for change in found:
        name = change.effect.value
        effect = Text("" if change.effect is Effect.SAME else name, _STYLES[change.effect])
        yield (
            change.case,
            change.variant,
            terminal.cell(change.before),
            terminal.cell(change.after),
            effect,
        )


def print_patch(comparison: Comparison, everything: bool = False) -> None:
    """Print a table of both runs, then what is wrong with either."""
    if len(comparison.results) < 2:
        kernels_report.print_comparison(comparison, everything)
        return
    before, after = comparison.results
    found = changes(before, after)
    # One column of variants is short enough to be shown whole.
    whole = len({change.variant for change in found}) == 1
    shown = [c for c in found if whole or c.effect is not Effect.SAME]
    out = terminal.console()
    terminal.print_rows(
        f"{before.release}: what the patch changes, in bytes left corrupt",
        ("case", "variant", "without", "with the patch", "effect"),
        _rows(shown),
    )
    kernels_report.print_complaints(comparison, everything)
    counts = {effect: sum(c.effect is effect for c in found) for effect in Effect}
    out.print()
    terminal.say(
        f"With the patch, {counts[Effect.BETTER]} of {len(found)} cells are better,"
        f" {counts[Effect.WORSE]} worse, {counts[Effect.OTHER]} corrupt in another way,"
        f" {counts[Effect.SAME]} the same.",
        "bold",
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return both runs, and what differs, as a JSON document."""
    document = kernels_report.as_json(comparison)
    if len(comparison.results) == 2:
        document["changes"] = [
            {
                "variant": change.variant,
                "case": change.case,
                "without": terminal.cell(change.before).plain,
                "with": terminal.cell(change.after).plain,
                "effect": change.effect.value,
            }
            for change in changes(*comparison.results)
        ]
        document["exit_status"] = int(exit_status(comparison))
    return document
