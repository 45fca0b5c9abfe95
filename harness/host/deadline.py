# SPDX-License-Identifier: GPL-2.0-only
"""A moment until which something is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """So many seconds from now on; the waits for one thing share what is left of them."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """The time that is left, in seconds; 0 once the deadline has passed."""
        return max(0.0, self._end - self._clock())

    @property
    def passed(self) -> bool:
        return self._clock() >= self._end

    def sooner(self, seconds: float) -> Deadline:
        """Return this deadline, or one so many seconds from now if that comes first."""
        other = Deadline(seconds, self._clock)
        return other if other.left < self.left else self
