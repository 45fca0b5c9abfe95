# SPDX-License-Identifier: GPL-2.0-only
"""How often this machine's own tools may fail before what is left is given up."""

from __future__ import annotations

from harness.errors import InfrastructureError, UnfitEmulator

# Further boots after a failure of this machine's, in a run over one kernel.
RETRIES = 1


class Tries:
    """The failures of one run, none of which is the kernel's; a kernel's fault is never retried."""

    def __init__(self) -> None:
        # After these, what was left was played again.
        self.retried: list[str] = []
        # The one that ended the run, with what to do next.
        self.errors: list[str] = []

    def again(self, error: InfrastructureError) -> bool:
        """Note a failure, and return whether a further boot may help."""
        if len(self.retried) == RETRIES or isinstance(error, UnfitEmulator):
            self.errors.append(str(error))
            return False
        self.retried.append(error.sentence)
        return True
