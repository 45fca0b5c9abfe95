# SPDX-License-Identifier: GPL-2.0-only
"""Takes a crash dump of a guest through QMP, and records what is needed to read it."""

from __future__ import annotations

import dataclasses
import json
import select
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qemu.qmp import QMPError

from harness.errors import ConfigError, InfrastructureError
from harness.guest import module_elf
from harness.guest.records import Ran, Record
from harness.host import tool
from harness.host.deadline import Deadline
from harness.inspect.console_pump import ConsolePump
from harness.kernel.kernel import Bootable
from harness.model.witness import Sighting
from harness.modules.build import Modules, names
from harness.run.logs import BootLog
from harness.run.observer import Watched
from harness.run.session import Session
from harness.vm import qmp
from harness.vm.machine import Config

# After a panic the guest halts; a reboot would end QEMU.
STAYS = "panic=0"
# The kernel's last output after a panic.
LAST_WORDS = "---[ end Kernel panic"
LAST_SECONDS = 5
DUMP_SECONDS = 120


class DumpError(InfrastructureError):
    """A dump cannot be written, for lack of space or as QEMU refuses."""


def vmcore_of(run: Path, boot: int) -> Path:
    """Return the path of the dump of a boot."""
    return run / f"vmcore-{boot}"


def places_of(run: Path, boot: int) -> Path:
    """What is recorded of a boot because its dump does not have it."""
    return run / f"places-{boot}.json"


def check(kernel: Bootable) -> None:
    """Raise ConfigError for a kernel of which nobody could read a dump."""
    if not kernel.has("CONFIG_KEXEC_CORE"):
        raise ConfigError(
            f"The kernel {kernel.spec} was built without CONFIG_KEXEC, so a dump of it could not be"
            " read.",
            "Build a source tree with it: --kconfig FILE",
        )


def note_places(session: Session, modules: Modules, log: BootLog) -> None:
    """Record what a dump does not have; asks the guest, which must be idle."""

    def ask(command: str) -> str:
        session.send(f"run {command}")
        ran = session.await_record(session.deadlines.play)
        if not isinstance(ran, Ran) or ran.status:
            raise InfrastructureError(
                f"The guest does not report what a dump needs: {ran}.",
                "It needs CONFIG_KEXEC, for /sys/kernel/vmcoreinfo.",
            )
        return ran.output

    places = {
        "modules": str(modules.folder),
        "sections": {
            name: module_elf.addresses(ask(module_elf.command(name)))
            for name in names(modules.engine)
        },
        "vmcoreinfo": ask("/bin/busybox cat /sys/kernel/vmcoreinfo"),
    }
    places_of(log.run, log.number).write_text(json.dumps(places, indent=1))


def write(session: Session, log: BootLog) -> Path:
    """Write a dump of the guest as it is now; raises DumpError."""
    file = vmcore_of(log.run, log.number)
    file.unlink(missing_ok=True)
    with ConsolePump(session, session.look):
        try:
            qmp.execute(
                session.machine.qmp,
                "dump-guest-memory",
                {"paging": False, "protocol": f"file:{file}"},
                seconds=DUMP_SECONDS,
            )
        except (QMPError, OSError, TimeoutError) as error:
            file.unlink(missing_ok=True)
            raise DumpError(
                f"The dump cannot be written: {error}.", f"Make room in {file.parent}."
            ) from error
    # Most of the memory is zero, so make the file sparse if the file system supports it.
    tool.run(["fallocate", "--dig-holes", file])
    return file


class Recorder:
    """Takes a dump of a guest that dies, or with `at_end`, also of one that has played all."""

    testifies = False

    def __init__(self, *, at_end: bool) -> None:
        self._at_end = at_end

    def check(self, kernel: Bootable) -> None:
        """See check()."""
        check(kernel)

    def prepare(self, config: Config) -> Config:
        """Have the kernel halt after a panic."""
        return dataclasses.replace(config, append=f"{config.append} {STAYS}".strip())

    def records(self, watched: Watched) -> Iterator[tuple[Record, Sighting | None]]:
        """See Observer.records(); each sighting is None."""
        assert watched.session.log
        boot = _Recorded(watched, watched.session.log, self._at_end)
        return ((record, None) for record in boot.records())


@dataclass(frozen=True)
class _Recorded:
    """One boot of a guest, of which a dump is taken."""

    watched: Watched
    log: BootLog
    at_end: bool

    def records(self) -> Iterator[Record]:
        session, plays = self.watched.session, self.watched.plays
        note_places(session, self.watched.modules, self.log)
        session.on_death = self._on_death
        session.play([play.line for play in plays])
        yield from session.records()
        if self.at_end:
            self._dump()

    def _on_death(self) -> None:
        """Dump the guest, once the kernel has printed its last line."""
        heard: list[str] = []
        session = self.watched.session
        session.console.echo = heard.append
        deadline = Deadline(LAST_SECONDS)
        while LAST_WORDS not in "".join(heard) and not deadline.passed:
            if select.select([session], [], [], deadline.left)[0]:
                session.look()
        self._dump()

    def _dump(self) -> None:
        try:
            write(self.watched.session, self.log)
        except DumpError as error:
            self.watched.failures.append(f"{error.sentence} {error.hint}")
