# SPDX-License-Identifier: GPL-2.0-only
"""Several measurements of one thing in three numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True)
class Spread:
    """The middle of some measurements, and what half of them lie between."""

    median: float
    # The lower and the upper quartile.
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of one value or more, which are all there are and no sample of others."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(median(values), low, high)
