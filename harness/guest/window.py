# SPDX-License-Identifier: GPL-2.0-only
"""Which lines of a plan a guest is sent, so that it is busy and nothing else waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

# How many bytes of a plan a guest has that it has not played.
BYTES = 64 << 10


class Window:
    """A plan that is sent line by line."""

    def __init__(self, plan: Sequence[str]) -> None:
        self._plan = plan
        self._sent = 0
        # The sizes of the lines that were sent and not yet played.
        self._unplayed: deque[int] = deque()
        self._bytes = 0

    @property
    def planned(self) -> int:
        """The number of the plan's lines."""
        return len(self._plan)

    def more(self) -> list[str]:
        """Return the lines to send now."""
        lines = []
        while self._sent < len(self._plan) and self._bytes < BYTES:
            lines.append(self._plan[self._sent])
            self._unplayed.append(len(lines[-1]))
            self._bytes += len(lines[-1])
            self._sent += 1
        return lines

    def played(self) -> None:
        """Note that the guest has played a line."""
        if self._unplayed:
            self._bytes -= self._unplayed.popleft()
