# SPDX-License-Identifier: GPL-2.0-only
"""
How long a run takes to go on after its kernel has died.

The kernel is made to panic through /proc/sysrq-trigger (Documentation/admin-guide/sysrq.rst)
in place of the first of two plays.  What is timed begins when the line with which the kernel
dies is read from the console, and ends when the other play, in another guest, has its verdict.
So it has what remains of the panic, QEMU's end, the fault's account, the next guest's start,
and the play.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from harness.cases.catalog import Catalog
from harness.errors import InfrastructureError
from harness.guest.records import Record
from harness.kernel.kernel import Bootable
from harness.measure.bench.command import Timed
from harness.model.witness import Sighting
from harness.modules.build import Modules
from harness.run import repro
from harness.run.observer import Watched
from harness.run.plan import plays
from harness.run.session import Session
from harness.vm.machine import Config

CASE, VARIANT = "stack-9", "none"
CRASH = "run echo c >/proc/sysrq-trigger"


class Crash:
    """An observer that ends the first guest by a panic, and lets the next one play."""

    testifies = False

    def __init__(self) -> None:
        # By time.monotonic().
        self.died: float | None = None
        self.judged: float | None = None

    def check(self, kernel: Bootable) -> None:
        pass

    def prepare(self, config: Config) -> Config:
        return config

    def records(self, watched: Watched) -> Iterator[tuple[Record, Sighting | None]]:
        session = watched.session
        if self.died is None:
            self._crash(session)
        session.play([play.line for play in watched.plays])
        for record in session.records():
            yield record, None
            # It is gone on with once the record is judged.
            self.judged = self.judged or time.monotonic()

    def _crash(self, session: Session) -> None:
        """Raise KernelDied when the guest has, by our doing."""

        def hear(text: str) -> None:
            if session.console.dead and self.died is None:
                self.died = time.monotonic()

        session.console.echo = hear
        session.send(CRASH)
        answer = session.await_record(session.deadlines.play)
        raise InfrastructureError(
            f"The guest was to panic, and answered {answer}.",
            "A kernel without CONFIG_MAGIC_SYSRQ cannot be measured: choose other rows.",
        )


def run(kernel: Bootable, modules: Modules) -> Timed:
    """Return the seconds from a panic's line to the next verdict; raises InfrastructureError."""
    catalog = Catalog()
    (play,) = plays(catalog.select_variants([VARIANT]), catalog.select_cases([CASE]))
    crash = Crash()
    result = repro.run(kernel, modules, [play, play], observer=crash)
    after = result.outcomes[1:]
    if crash.died is None or crash.judged is None or not any(one.agrees for one in after):
        reasons = (reason for one in result.outcomes for reason in one.reasons)
        said = " ".join((*result.errors, *reasons))
        raise InfrastructureError("No play was judged after a panic.", said)
    return Timed(crash.judged - crash.died)
