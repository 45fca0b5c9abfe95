# SPDX-License-Identifier: GPL-2.0-only
"""What may look on while a plan is played; the caller of a run plugs it in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from harness.guest.records import Record
from harness.kernel.kernel import Bootable
from harness.model.witness import Sighting
from harness.modules.build import Modules
from harness.run.plan import Play
from harness.run.session import Session
from harness.vm.machine import Config


class Observer(Protocol):
    """
    Looks on at each boot of a run.

    The guest does not play before the observer has it do so.
    """

    @property
    def testifies(self) -> bool:
        """Whether it sights each play, to be compared with what the guest records."""

    def check(self, kernel: Bootable) -> None:
        """Raise ConfigError for a kernel that cannot be observed."""

    def prepare(self, config: Config) -> Config:
        """The machine's configuration with what observing takes."""

    def records(
        self,
        session: Session,
        modules: Modules,
        plays: Sequence[Play],
        plan: str,
        on_failure: Callable[[str], object],
    ) -> Iterator[tuple[Record, Sighting | None]]:
        """
        Yield the guest's introduction, then each play's record with its sighting.

        `plan` is the path of the plays' lines in the guest; `on_failure` takes a sentence
        for what could not be observed.  Raises as Session.records() does.
        """
