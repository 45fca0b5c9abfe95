# SPDX-License-Identifier: GPL-2.0-only
"""How the time of a run grows with the number of its verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.measure.bench.command import Timed
from harness.steps import progress

# Runs of no more verdicts differ in what goes through a compiler, and are there twice, so that
# the modules are in the cache.
_COMPILED = 100


@dataclass(frozen=True)
class Point:
    verdicts: int
    # From the command's start to its end.
    seconds: float


@dataclass(frozen=True)
class Growth:
    """Points, and the line seconds = fixed + each * verdicts that is nearest to them."""

    points: tuple[Point, ...]
    fixed: float
    # The slope, in seconds for each further verdict.
    each: float


def counts(most: int) -> list[int]:
    """Return the powers of ten up to `most`."""
    return [10**power for power in range(len(str(most)))]


def fitted(points: Sequence[Point]) -> Growth:
    """
    Return the line nearest to two or more points.

    Each point's distance counts in proportion to its own time, which is how times vary; so the
    first points decide what is fixed, and the last ones the slope.
    """
    weights = [point.seconds**-2 for point in points]
    total = sum(weights)
    x = sum(w * p.verdicts for w, p in zip(weights, points)) / total
    y = sum(w * p.seconds for w, p in zip(weights, points)) / total
    above = sum(w * (p.verdicts - x) * (p.seconds - y) for w, p in zip(weights, points))
    below = sum(w * (p.verdicts - x) ** 2 for w, p in zip(weights, points))
    each = above / below
    return Growth(tuple(points), y - each * x, each)


def measure(run: Callable[[int], Timed], most: int) -> Growth:
    """Take the time of runs of so many verdicts, by powers of ten."""
    chosen = counts(most)
    for verdicts in chosen:
        if verdicts <= _COMPILED:
            run(verdicts)
    points = []
    for done, verdicts in enumerate(chosen):
        progress("growth", done, len(chosen))
        points.append(Point(verdicts, run(verdicts).seconds))
    return fitted(points)
