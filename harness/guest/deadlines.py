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

    def on(self, boot_seconds: float) -> Deadlines:
        """Return those for a machine on which a guest takes so long to boot; a user's own stay."""
        factor = max(1, boot_seconds / USUAL_BOOT_SECONDS)
        usual = vars(DEFAULT_DEADLINES)
        return Deadlines(
            **{name: v * factor if v == usual[name] else v for name, v in vars(self).items()}
        )

    def whole(self, planned: int) -> float:
        """Return the limit for a whole boot, in seconds: a few plays may take long, not all."""
        return self.boot + self.end + LONG_PLAYS * self.play + planned * USUAL_SECONDS


DEFAULT_DEADLINES = Deadlines()
# Several times what it takes on an idle machine.
USUAL_BOOT_SECONDS = 10
# How many plays of a boot may take the whole of their deadline.
LONG_PLAYS = 10
# Time for each play beside these, a hundred times what it takes on an idle machine.
USUAL_SECONDS = 1
