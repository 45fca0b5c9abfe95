# SPDX-License-Identifier: GPL-2.0-only
"""How long to wait for a guest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deadlines:
    """How long to wait, in seconds, before something counts as hung."""

    # From QEMU's start to the guest's first record.
    boot: float = 120
    # From one record to the next.
    play: float = 30
    # For user space to answer on the console.
    ping: float = 10
    # From the last record, or the kernel's death, to QEMU's end.
    end: float = 30

    def whole(self, planned: int) -> float:
        """Return the limit for a whole boot, in seconds: a few plays may take long, not all."""
        return self.boot + self.end + LONG_PLAYS * self.play + planned * USUAL_SECONDS


DEFAULT_DEADLINES = Deadlines()
# How many plays of a boot may take the whole of their deadline.
LONG_PLAYS = 10
# Time for each play beside these, a hundred times what it takes on an idle machine.
USUAL_SECONDS = 1
