# SPDX-License-Identifier: GPL-2.0-only
"""One boot of a guest that plays a plan, alone or before a witness."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.guest import initramfs
from harness.guest.protocol import Record
from harness.kernel.kernel import Kernel
from harness.kernel.modules import Modules
from harness.model.witness import Sighting
from harness.run.plan import Play
from harness.run.session import Deadlines, Session
from harness.vm.machine import Config, Machine

HELD_PLAN = "plan.held"


@dataclass(frozen=True)
class Setup:
    """What all boots of a run have in common."""

    kernel: Kernel
    modules: Modules
    config: Config
    deadlines: Deadlines
    # GDB looks on.
    witness: bool
    # Folder for console logs, plans and QEMU command lines.
    logs: Path


class Boot:
    """A guest that has been started."""

    def __init__(self, setup: Setup, session: Session, plays: Sequence[Play]) -> None:
        self._setup = setup
        self._plays = plays
        self.session = session

    def records(self) -> Iterator[tuple[Record, Sighting | None]]:
        """
        The guest's introduction, then each play's record, and what a witness saw.

        Raises as Session.records() does.
        """
        if self._setup.witness:
            from harness.run.witness import Witness

            witness = Witness(self.session, self._setup.modules)
            return witness.records(self._plays, f"/{HELD_PLAN}")
        return ((record, None) for record in self.session.records(len(self._plays)))


@contextmanager
def start(setup: Setup, number: int, plays: Sequence[Play]) -> Iterator[Boot]:
    """Start boot `number` of a run; the guest is gone on exit."""
    kernel, modules, logs = setup.kernel, setup.modules, setup.logs
    initrd, channel = initramfs.cached_minimal(kernel, modules.files, modules.key)
    lines = [play.line for play in plays]
    # Alone, the guest plays at once; before a witness, when that is ready.
    initrd += initramfs.plan(lines, HELD_PLAN) if setup.witness else initramfs.plan(lines)
    config = dataclasses.replace(setup.config, gdb=setup.witness)
    with (
        Machine(kernel.image, initrd, config) as machine,
        (logs / f"console-{number}.log").open("w", encoding="utf-8") as log,
    ):
        (logs / f"command-{number}").write_text(f"{shlex.join(machine.command)}\n")
        (logs / f"plan-{number}").write_text("".join(f"{line}\n" for line in lines))
        yield Boot(setup, Session(machine, channel, setup.deadlines, log=log), plays)
