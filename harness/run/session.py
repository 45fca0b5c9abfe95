# SPDX-License-Identifier: GPL-2.0-only
"""One boot of one guest: its records, its console, its end."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from harness.errors import (
    HarnessError,
    InfrastructureError,
    KernelDied,
    KernelFault,
    KernelHung,
    MachineError,
    TestHung,
)
from harness.guest.initramfs import Channel
from harness.guest.protocol import Guest, Parser, ProtocolError, Record
from harness.run.logs import BootLog, see
from harness.vm.console import Console
from harness.vm.machine import Machine


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


DEFAULT_DEADLINES = Deadlines()


class Session:
    """Waits for whatever a running machine does next."""

    def __init__(
        self,
        machine: Machine,
        channel: Channel = Channel.VIRTIO,
        deadlines: Deadlines = DEFAULT_DEADLINES,
        *,
        log: BootLog | None = None,
    ) -> None:
        self.machine = machine
        self.console = Console(machine.console, log.console if log else None)
        self.log = log
        self._hint = see(str(log.run)) if log else ""
        self.guest: Guest | None = None
        self.deadlines = deadlines
        # Records received, but for the guest's introduction.
        self.received = 0
        self.ended = False
        # Called once, when the kernel has said what it dies of.
        self.on_death: Callable[[], None] | None = None
        self._examined = False
        self._channel = channel
        self._parser = Parser()
        # Records that came while somebody else was waited for.
        self._early: list[Record] = []
        self._poll = select.epoll()
        for source in (machine.records.fileno(), self.console.fileno(), machine.pidfd):
            self._poll.register(source, select.EPOLLIN)

    def fileno(self) -> int:
        """Readable when there is something for look()."""
        return self._poll.fileno()

    def look(self) -> bool:
        """
        Read what has come, and keep its records for wait(); False once QEMU has ended.

        Whoever waits for something else of the guest's calls this meanwhile: a guest
        that nobody listens to blocks.
        """
        self._early += self._read(0) or []
        return not self.ended

    def take(self) -> list[Record]:
        """The records that look() has read."""
        records, self._early = self._early, []
        return records

    def records(self, planned: int) -> Iterator[Record]:
        """
        Records as they come, until the guest has powered off.

        Raises a KernelFault for the kernel's fault, and InfrastructureError when
        QEMU failed or the guest did not come as far as introducing itself.
        """
        seconds = self.deadlines.boot
        while not self.ended:
            yield from self.wait(seconds)
            last = self.guest and self.received >= planned
            seconds = self.deadlines.end if last else self.deadlines.play
        self.check_end()
        if self.guest is None:
            raise InfrastructureError(self._said("The guest could not set itself up."), self._hint)
        if self.received < planned:
            raise KernelDied(
                self._said(f"The guest ended after {self.received} of {planned} records."),
                self._hint,
            )

    def check_end(self) -> None:
        """Raise unless the guest ended by powering off, without a complaint before."""
        if self.console.dead:
            raise self._dead()
        status = self.machine.process.wait(self.deadlines.end)
        if status:
            raise MachineError(self._said(f"QEMU ended with status {status}."), self._hint)
        if not self.console.watcher.powered_off:
            raise KernelDied(self._said("The guest was gone without a word."), self._hint)

    def wait(self, seconds: float) -> list[Record]:
        """
        The next records, one or more; none once QEMU has ended.

        Raises KernelDied, KernelHung or TestHung when none comes in time.
        """
        deadline = time.monotonic() + seconds
        while not self._early:
            if self._examined:
                raise self._dead()
            records = self._read(max(0.0, deadline - time.monotonic()))
            if records is None:
                self._hung()
            self._early += records
            if self.ended:
                break
            if self.console.dead and self.on_death and not self._early:
                self.on_death()
                self._examined = True
            if self.console.dead:
                deadline = min(deadline, time.monotonic() + self.deadlines.end)
        return self.take()

    def _read(self, seconds: float) -> list[Record] | None:
        """The records in what comes next; None when nothing comes in time."""
        events = self._poll.poll(seconds)
        if not events:
            return None
        sources = {number for number, _ in events}
        self.ended = self.machine.pidfd in sources
        records: list[Record] = []
        if self.console.fileno() in sources or self.ended:
            records += self._read_console()
        if self.machine.records.fileno() in sources or self.ended:
            records += self._read_records()
        for record in records:
            if isinstance(record, Guest):
                self.guest = record
            else:
                self.received += 1
        return records

    def await_record(self, seconds: float) -> Record:
        """The answer to what was sent; raises as wait(), and KernelDied without one."""
        records = self.wait(seconds)
        if not records:
            self.check_end()
            raise KernelDied(self._said("The guest has powered off."), self._hint)
        return records[0]

    def _read_console(self) -> list[Record]:
        """Read what has come; a guest without virtio tells its records here."""
        records: list[Record] = []
        while text := self.console.read():
            if self._channel is Channel.SERIAL:
                records += self._parse(text.encode())
            if not self.ended:
                return records
        if text is None and not self.ended:
            self._poll.unregister(self.console.fileno())
        return records

    def _read_records(self) -> list[Record]:
        records: list[Record] = []
        while True:
            try:
                data = self.machine.records.recv(1 << 20, socket.MSG_DONTWAIT)
            except (BlockingIOError, ConnectionResetError):
                return records
            if not data:
                if not self.ended:
                    self._poll.unregister(self.machine.records.fileno())
                return records
            if self.log:
                self.log.records.write(data)
            records += self._parse(data)
            if not self.ended:
                return records

    def _parse(self, data: bytes) -> list[Record]:
        try:
            return self._parser.feed(data)
        except ProtocolError as error:
            if self._channel is Channel.SERIAL:
                raise
            # Nobody else writes here: the guest's own memory is damaged.
            raise KernelFault(error.sentence, self._hint) from error

    def send(self, line: str) -> None:
        """Give a guest without a plan something to do; raises KernelDied."""
        try:
            if self._channel is Channel.SERIAL:
                self.console.send_line(line)
            else:
                self.machine.records.sendall(f"{line}\n".encode())
        except OSError as error:
            raise KernelDied(self._said("The guest is gone."), self._hint) from error

    def _hung(self) -> NoReturn:
        """Tell a hung test from a hung kernel."""
        last = f"record {self.received}"
        if self.console.dead:
            raise self._dead()
        if self.guest and self.console.ping(self.deadlines.ping):
            raise TestHung(
                f"The play after {last} does not end; the guest still answers.",
                "The probed function, the handler or the engine waits for something.",
            )
        from harness.vm import qmp

        counters = "; ".join(qmp.program_counters(self.machine.qmp))
        what = f"The guest hangs after {last}."
        if not self.guest:
            what = (
                f"The guest was not up within {self.deadlines.boot:g} s, which --boot-deadline can"
                " raise."
            )
        raise KernelHung(" ".join(filter(None, (what, self._shortage, counters))), self._hint)

    @property
    def starved(self) -> bool:
        """The guest had too little memory to begin with, which is no kernel's fault."""
        return self.guest is None and bool(self._shortage)

    def _dead(self) -> HarnessError:
        """What the kernel died of."""
        kind = InfrastructureError if self.starved else KernelDied
        return kind(". ".join(filter(None, (str(self.console.dead), self._shortage))), self._hint)

    @property
    def _shortage(self) -> str:
        """A sentence where the guest ran out of memory."""
        if not (self.console.watcher.starved or self.machine.too_small):
            return ""
        mib = self.machine.config.memory_mib
        return f"The guest ran out of its {mib} MiB of memory, which --memory can raise."

    def _said(self, what: str) -> str:
        """`what`, with the last words of QEMU and of the guest."""
        said = (what, self._shortage, self.machine.qemu_output, " | ".join(self.console.tail))
        return " ".join(filter(None, said))
