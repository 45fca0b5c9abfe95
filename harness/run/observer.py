# SPDX-License-Identifier: GPL-2.0-only
"""The interface of a program that watches the guest while a plan is played."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.guest.records import Record
from harness.kernel.kernel import Bootable
from harness.model.witness import Sighting
from harness.modules.build import Modules
from harness.run.plan import Play
from harness.run.session import Session
from harness.vm.machine import Config


@dataclass(frozen=True)
class Watched:
    """One boot that an observer watches."""

    session: Session
    modules: Modules
    plays: Sequence[Play]
    # Gets a sentence for whatever could not be observed.
    failures: list[str]


class Observer(Protocol):
    """
    Watches the guest in each boot of a run, and takes part in it.

    The guest has introduced itself, and waits until the observer starts the plays.
    """

    @property
    def testifies(self) -> bool:
        """Whether it yields a sighting of each play, to compare with the guest's record."""

    def check(self, kernel: Bootable) -> None:
        """Raise ConfigError for a kernel that cannot be observed."""

    def prepare(self, config: Config) -> Config:
        """Return the machine's configuration with what the observer needs."""

    def records(self, watched: Watched) -> Iterator[tuple[Record, Sighting | None]]:
        """
        Yield each play's record with its sighting.

        Raises as Session.records() does.
        """
