# SPDX-License-Identifier: GPL-2.0-only
"""What came of corrupt arguments of the kernel's own functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.model.case import Effect, Real
from harness.run.plan import Outcome

HEADS = ("case", "function", "user space notices", "under")


def rows(outcomes: Sequence[Outcome]) -> list[Sequence[str]]:
    """Return a row for each case of which an argument was corrupt, as predicted."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for outcome in outcomes:
        real, verdict = outcome.play.case.real, outcome.judged
        if real and verdict and verdict.agrees and verdict.corrupt:
            row = (outcome.play.case.name, f"{real.function}()", _words(real, outcome.effect))
            found.setdefault(row, []).append(outcome.play.variant.name)
    return [(*row, ", ".join(variants)) for row, variants in found.items()]


def _words(real: Real, effect: Effect) -> str:
    match effect:
        case Effect.NONE:
            return "nothing"
        case Effect.WRONG_VALUE:
            return f"a wrong value: {real.corrupt}, and not {real.intact}"
        case Effect.GARBLED:
            return "something garbled"
        case Effect.OOPS:
            return "an oops, and a task that is killed"


def left_out(lacking: Mapping[str, str]) -> str:
    """Return which cases a kernel has no function for, in a sentence."""
    names = ", ".join(sorted(lacking))
    return f"The kernel has no such function, so they are not played: {names}; --json says why."


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return what was to be noticed and what was, for a case on a function of the kernel's."""
    real, verdict = outcome.play.case.real, outcome.judged
    if not (real and verdict and verdict.observation.driven):
        return {}
    driven = verdict.observation.driven
    return {
        "effect": {
            "function": real.function,
            "predicted": outcome.effect.value,
            "found": driven.effect,
            "signal": driven.signal,
        }
    }
