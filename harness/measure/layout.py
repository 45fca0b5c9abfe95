# SPDX-License-Identifier: GPL-2.0-only
"""How compilers lay out the same calls, from measurements at the hits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.measure.facts import FrameLayout, measured
from harness.model.case import Case
from harness.run.plan import Outcome
from harness.run.result import Result

# The MAX_STACK_SIZE of the patch series, in bytes.
MAX_STACK_SIZE = 128


@dataclass(frozen=True)
class CallLayout:
    """One case as one compiler laid it out."""

    case: Case
    facts: FrameLayout
    # Stacked arguments that the handler assigns to in a copy of its own.
    private_copies: frozenset[int]


def frames(result: Result) -> list[CallLayout]:
    """Return a layout for each case that was played, from its first play."""
    by_case: dict[str, CallLayout] = {}
    for outcome in result.outcomes:
        verdict, case = outcome.verdict, outcome.play.case
        if verdict and verdict.prediction.runs and case.name not in by_case:
            facts = measured(case, verdict.observation)
            by_case[case.name] = CallLayout(case, facts, verdict.prediction.private_copies)
    return list(by_case.values())


@dataclass(frozen=True)
class Copied:
    """How many bytes a variant copied."""

    variant: str
    # The fewest and the most bytes at the hits that were not skipped.
    least: int
    most: int
    hits: int
    skipped: int


def copied(outcomes: Sequence[Outcome]) -> list[Copied]:
    """Return how many bytes each variant copied, in the order of the plays."""
    saved: dict[str, list[int]] = {}
    for outcome in outcomes:
        if outcome.verdict and outcome.verdict.observation.saved is not None:
            name = outcome.play.variant.name
            saved.setdefault(name, []).append(outcome.verdict.observation.saved)
    rows = []
    for name, sizes in saved.items():
        done = [size for size in sizes if size >= 0]
        row = Copied(
            name, min(done, default=0), max(done, default=0), len(sizes), len(sizes) - len(done)
        )
        rows.append(row)
    return rows


def findings(frames: Sequence[CallLayout]) -> list[str]:
    """Return sentences on what the review discussed; frames without a valid FP are left out."""
    valid = [frame for frame in frames if frame.case.valid_fp]
    deltas = [frame.facts.fp_minus_sp for frame in valid]
    stacked = [frame for frame in valid if frame.facts.area]
    covered = [frame for frame in stacked if frame.facts.fp_minus_sp >= frame.facts.area]
    short = [frame for frame in covered if frame.facts.fp_minus_sp <= MAX_STACK_SIZE]
    copies = [(frame, copy) for frame in valid for copy in frame.facts.copies]
    inside = [(frame, copy) for frame, copy in copies if frame.facts.covers(copy)]
    near = [copy for _, copy in copies if copy.within(MAX_STACK_SIZE)]
    private = [frame for frame in frames if frame.private_copies]
    sentences = [f"FP - SP is {min(deltas)} to {max(deltas)} bytes."] if deltas else []
    if stacked:
        sentences.append(
            f"It covers the stacked arguments in {len(covered)} of {len(stacked)} cases, in"
            f" {len(short)} of them with at most {MAX_STACK_SIZE} bytes."
        )
    if copies:
        sentences.append(
            f"Of {len(copies)} by-reference copies, {len(inside)} lie between SP and FP, and"
            f" {len(near)} within {MAX_STACK_SIZE} bytes of SP."
        )
    if private:
        sentences.append(
            f"The handlers of {len(private)} cases assign to a copy of their own of a stacked"
            " argument; the caller's is never touched."
        )
    return sentences
