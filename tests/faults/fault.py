# SPDX-License-Identifier: GPL-2.0-only
"""A fault: what is wrong around one command, and how that has to end."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.place import Place

Inject = Callable[[Place], None]


class Blame(enum.Enum):
    """Who is to blame for a fault, with the exit status that says so."""

    # The command works all the same.
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
    # A regular expression that matches in the command's output.
    says: str = ""
    # The exit status, if it is not the one of `blame`.
    status: int | None = None
    # Whether the command mends it, so that the next run says nothing of it.
    heals: bool = False
    # Verdicts that are reported although the command failed.
    kept: int = 0
    # Whether something is left behind until the next run, because the command was killed.
    leaves: bool = False
    # A further check afterwards.
    also: Callable[[Place], None] = lambda place: None
    # Whether it takes too long to run for each change; see the label `full` in tox.ini.
    full: bool = False

    @property
    def ends(self) -> int:
        """The exit status of the command."""
        return self.blame.value if self.status is None else self.status
