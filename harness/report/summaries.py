# SPDX-License-Identifier: GPL-2.0-only
"""Phrases and numbers that several reports use."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.abi.offsets import ranges
from harness.measure.facts import FrameLayout
from harness.model.case import Case, Effect
from harness.model.driven import noticed
from harness.model.policy import Variant
from harness.model.predict import Prediction, described, spans
from harness.run.plan import Outcome
from harness.run.result import Result

# Of what a guest prints, so much is shown where people read it: sentences of one sort, and
# characters of one of them.
SENTENCES, CHARACTERS = 40, 2000
ALL = "--json has all"


def now() -> str:
    """Return the time to the minute, as documents for programs have it."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def few(sentences: Sequence[str]) -> Iterator[str]:
    """Yield the first sentences, and one that says how many more there are."""
    yield from sentences[:SENTENCES]
    if (more := len(sentences) - SENTENCES) > 0:
        yield f"and {more:,} more; {ALL}"


def short(text: str) -> str:
    """Return the beginning of a long text, and how much more there is."""
    more = len(text) - CHARACTERS
    return text if more <= 0 else f"{text[:CHARACTERS]} ... and {more:,} more characters; {ALL}"


def label(outcome: Outcome) -> str:
    """The observed classes of corruption joined by "+", "intact", or "no verdict"."""
    if outcome.judged is None:
        return "no verdict"
    return "+".join(sorted(damage.value for damage in outcome.damage)) or "intact"


def cell(outcome: Outcome) -> str:
    """A few words such as "leak 8"."""
    if outcome.judged is None:
        return "no verdict"
    if outcome.witness:
        return "witness-disagrees"
    return described({damage.value: size for damage, size in outcome.damage.items()})


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return how many of the cells that agree have each class, the most frequent first."""
    labels = Counter(label(outcome) for outcome in outcomes if outcome.agrees)
    return dict(sorted(labels.items(), key=lambda item: (-item[1], item[0])))


def span(least: int, most: int) -> str:
    """Return a range as text, or one number if both ends are equal."""
    return str(most) if least == most else f"{least} to {most}"


def frame_row(facts: FrameLayout) -> dict[str, Any]:
    """Return the caller's frame at a hit for JSON."""
    hit = facts.hit
    return {
        "stack": {
            "sp": f"{hit.sp:#x}",
            "fp": f"{hit.fp:#x}",
            "fp_minus_sp": facts.fp_minus_sp,
            "top_minus_sp": hit.top - hit.sp,
            "irq": hit.irq,
            "area": facts.area,
        },
        "copies": [asdict(copy) for copy in facts.copies],
    }


@dataclass(frozen=True)
class Price:
    """The legitimate writes that are undone by putting the stack back under one variant."""

    variant: str
    # Bytes put back at a hit: the fewest, the most and the average of all plays.
    least: int
    most: int
    average: float
    # Legitimate writes to the caller's stack while a handler ran, and those undone.
    writes: int
    undone: int


def prices(outcomes: Sequence[Outcome]) -> list[Price]:
    """Return the price of each variant; empty if no play had a write that could be undone."""
    by_variant: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_variant.setdefault(outcome.play.variant.name, []).append(outcome)
    rows = [_price(variant, plays) for variant, plays in by_variant.items()]
    return rows if any(row.writes for row in rows) else []


def _price(variant: str, outcomes: Sequence[Outcome]) -> Price:
    saved, writes, undone = [], 0, 0
    for outcome in outcomes:
        verdict, written = outcome.judged, outcome.play.case.object
        if verdict is None or not verdict.observation.counts.handler:
            continue
        if verdict.observation.saved is not None:
            saved.append(verdict.observation.saved)
        if written and written.writer:
            writes += 1
            undone += bool(verdict.lost)
    average = round(sum(saved) / len(saved), 1) if saved else 0.0
    return Price(variant, min(saved, default=0), max(saved, default=0), average, writes, undone)


def private_copies(outcomes: Sequence[Outcome]) -> list[str]:
    """Cases in which the handler assigns to a copy of its own of a stacked argument."""
    names = (
        o.play.case.name for o in outcomes if o.verdict and o.verdict.prediction.private_copies
    )
    return list(dict.fromkeys(names))


def run_complaints(result: Result) -> list[str]:
    """Return sentences about what is wrong with the run as a whole."""
    missing = result.planned - len(result.outcomes)
    return [*result.errors, *([f"{missing} plays were not reached"] if missing else [])]


def summary(result: Result) -> str:
    """Return the run in one sentence."""
    agreeing = len(result.outcomes) - len(result.differing)
    text = f"{agreeing} of {result.planned} verdicts as predicted"
    text += classes(counts(result.outcomes))
    if result.differing:
        text += f"; {len(result.differing)} not as predicted"
    if result.witness:
        heard = [outcome for outcome in result.outcomes if outcome.witness is not None]
        agreeing = sum(1 for outcome in heard if not outcome.witness)
        text += f"; the witness agrees with {agreeing} of {len(heard)}"
    if not result.complete:
        text += f"; {result.planned - len(result.outcomes)} not played"
    return text + "."


def classes(numbers: Mapping[str, int]) -> str:
    """Return the number of each class in brackets, to follow their sum, or ""."""
    listed = ", ".join(f"{count} {name}" for name, count in numbers.items())
    return f" ({listed})" if listed else ""


def prediction_row(case: Case, variant: Variant, prediction: Prediction) -> dict[str, Any]:
    """Return a prediction for JSON; `text` is for a table."""
    arguments: list[dict[str, Any]] = [
        {
            "index": index,
            "type": case.arguments[index].type.spelling,
            "predicted": spans(offsets),
        }
        for index, offsets in sorted(prediction.corrupt.items())
    ]
    words = [
        f"argument {row['index']} [{', '.join(f'{a}:{b}' for a, b in row['predicted'])}]"
        for row in arguments
    ]
    if prediction.lost:
        lost = ", ".join(f"{a}:{b}" for a, b in ranges(prediction.lost))
        words.append(f"the object [{lost}]")
    if prediction.overflow:
        words.append(f"{prediction.overflow} past the buffer")
    effect = noticed(case, prediction)
    if effect is not Effect.NONE:
        words.append(f"user space notices: {effect.value}")
    return {
        "case": case.name,
        "variant": variant.name,
        "class": prediction.label,
        "window": prediction.window,
        "arguments": arguments,
        "object": spans(prediction.lost),
        "overflow": prediction.overflow,
        **({"effect": effect.value} if case.real else {}),
        "text": ", ".join(words) or "none",
    }
