# SPDX-License-Identifier: GPL-2.0-only
"""A fault: what is wrong around one command, and how that has to end."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.place import Place

Inject = Callable[[Place], None]


class Blame(enum.Enum):
    """Whose a fault is, with the exit status that says so."""

    # Nothing is wrong for the command.
    NOBODY = 0
    KERNEL = 1
    # What was asked for does not exist or cannot be.
    USER = 2
    # This machine, or a program that the command needs.
    MACHINE = 3
    # The program itself.
    OURSELVES = 4


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    name: str
    inject: Inject
    blame: Blame = Blame.NOBODY
    # A regular expression that the command's output has.
    says: str = ""
    # Exit status, where it is not the blame's own.
    status: int | None = None
    # It is mended by the command, so that the next run says nothing of it.
    heals: bool = False
    # Verdicts that are reported although the command failed.
    kept: int = 0
    # Something is left behind, as nobody was there to remove it, until the next run.
    leaves: bool = False
    # Looks at what else is there afterwards.
    also: Callable[[Place], None] = lambda place: None
    # It takes too long for each change; see the label `full` in tox.ini.
    full: bool = False

    @property
    def ends(self) -> int:
        """The exit status of the command."""
        return self.blame.value if self.status is None else self.status
