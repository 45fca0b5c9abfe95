# SPDX-License-Identifier: GPL-2.0-only
"""One boot of one guest: its records, its console, its end."""

from __future__ import annotations

import itertools
import select
import socket
import struct
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
from harness.guest.protocol import Parser, ProtocolError
from harness.guest.records import DamagedRecord, Introduction, Record
from harness.host import blame
from harness.host.deadline import Deadline
from harness.run.logs import BootLog, see
from harness.steps import LOG
from harness.vm.console import Console
from harness.vm.running import Running


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

    def whole(self, planned: int) -> float:
        """For a boot with so many plays: a few may take long, all of them may not."""
        return self.boot + self.end + LONG_PLAYS * self.play + planned * USUAL_SECONDS


DEFAULT_DEADLINES = Deadlines()
# In a boot, plays that may take as long as one may.
LONG_PLAYS = 10
# What the others take; on a quiet machine it is a hundredth of that.
USUAL_SECONDS = 1
# Reads of a console that never falls silent.
LAST_READS = 16
SHARED_LINE = "On a serial line shared with printk this happens: run again."


class Session:
    """Waits for whatever a running machine does next."""

    def __init__(
        self,
        machine: Running,
        channel: Channel = Channel.VIRTIO,
        deadlines: Deadlines = DEFAULT_DEADLINES,
        *,
        log: BootLog | None = None,
    ) -> None:
        self.machine = machine
        self.console = Console(machine.console, log.console if log else None)
        self.log = log
        self._hint = see(str(log.run)) if log else ""
        self.guest: Introduction | None = None
        self.deadlines = deadlines
        # A guest that does not take what it is sent must not be waited for, either (socket(7)).
        patience = struct.pack("ll", *divmod(round(deadlines.play * 10**6), 10**6))
        machine.records.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        # Records received, but for the guest's introduction.
        self.received = 0
        self.ended = False
        # Called once, when the kernel has said what it dies of.
        self.on_death: Callable[[], None] | None = None
        self._examined = False
        self._channel = channel
        self._parser = Parser(shared=channel is Channel.SERIAL)
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
        self._read(0)
        return not self.ended

    def take(self) -> list[Record]:
        """
        The records that look() has read; raises protocol_fault() for a damaged one.

        Those before it are taken first, whatever came with them.
        """
        sound = list(
            itertools.takewhile(lambda one: not isinstance(one, DamagedRecord), self._early)
        )
        if self._early and not sound:
            (damaged, *self._early) = self._early
            assert isinstance(damaged, DamagedRecord)
            raise self.protocol_fault(damaged.sentence)
        self._early = self._early[len(sound) :]
        for record in sound:
            if isinstance(record, Introduction):
                self.guest = record
                LOG.info("the guest of %s is up", record.release)
            else:
                self.received += 1
                LOG.debug("record %d has come", self.received)
        return sound

    def protocol_fault(self, sentence: str) -> HarnessError:
        """
        Whose fault a record is that the guest's module cannot have written.

        Nobody else writes to a channel of the guest's own: its memory is damaged.
        """
        if self._channel is Channel.SERIAL:
            return ProtocolError(sentence, SHARED_LINE)
        return KernelFault(sentence, self._hint)

    def records(self, planned: int) -> Iterator[Record]:
        """
        Records as they come, until the guest has powered off.

        Raises a KernelFault for the kernel's fault, and InfrastructureError when
        QEMU failed or the guest did not come as far as introducing itself.
        """
        seconds = self.deadlines.boot
        whole = self.deadlines.whole(planned)
        deadline = Deadline(whole)
        while not self.ended or self._early:
            if deadline.passed:
                raise TestHung(
                    f"{self.received} of {planned} plays took {whole:g} s together.", self._hint
                )
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
        if status < 0:
            killed = blame.killed("QEMU", -status)
            raise MachineError(self._said(killed.sentence), killed.hint)
        if status:
            raise MachineError(self._said(f"QEMU ended with status {status}."), self._hint)
        if self.console.watcher.powered_off:
            return
        if self.machine.ended_by_signal:
            raise MachineError(self._said("Somebody ended QEMU."), self._hint)
        raise KernelDied(self._said("The guest was gone without a word."), self._hint)

    def wait(self, seconds: float) -> list[Record]:
        """
        The next records, one or more; none once QEMU has ended.

        Raises KernelDied, KernelHung or TestHung when none comes in time, whatever
        else comes meanwhile, MachineError when that is QEMU's doing, and as take().
        """
        deadline = Deadline(seconds)
        dying = False
        while not self._early:
            if self._examined:
                raise self._dead()
            came = self._read(deadline.left)
            if self.ended or self._early:
                break
            if not came or deadline.passed:
                self._hung()
            if self.console.dead and self.on_death:
                self.on_death()
                self._examined = True
            if self.console.dead and not dying:
                dying = True
                deadline = deadline.sooner(self.deadlines.end)
        return self.take()

    def _read(self, seconds: float) -> bool:
        """Keep the records in what comes next; False when nothing comes in time."""
        events = self._poll.poll(seconds)
        sources = {number for number, _ in events}
        self.ended = self.ended or self.machine.pidfd in sources
        if self.console.fileno() in sources or self.ended:
            self._read_console()
        if self.machine.records.fileno() in sources or self.ended:
            self._read_records()
        return bool(events)

    def hear_out(self) -> None:
        """Read what the kernel said last, as far as it has come by now."""
        for _ in range(LAST_READS):
            if not self.console.read():
                return

    def await_record(self, seconds: float) -> Record:
        """The answer to what was sent; raises as wait(), and KernelDied without one."""
        records = self.wait(seconds)
        if not records:
            self.check_end()
            raise KernelDied(self._said("The guest has powered off."), self._hint)
        return records[0]

    def _read_console(self) -> None:
        """Read what has come; a guest without virtio sends its records here."""
        while text := self.console.read():
            if self._channel is Channel.SERIAL:
                self._early += self._parser.feed(text.encode())
            if not self.ended:
                return
        if text is None and not self.ended:
            self._poll.unregister(self.console.fileno())

    def _read_records(self) -> None:
        while True:
            try:
                data = self.machine.records.recv(1 << 20, socket.MSG_DONTWAIT)
            except (BlockingIOError, ConnectionResetError):
                return
            if not data:
                if not self.ended:
                    self._poll.unregister(self.machine.records.fileno())
                return
            if self.log:
                self.log.records.write(data)
            self._early += self._parser.feed(data)
            if not self.ended:
                return

    def send(self, line: str) -> None:
        """Give a guest without a plan something to do; raises KernelDied or KernelHung."""
        try:
            if self._channel is Channel.SERIAL:
                self.console.send_line(line)
            else:
                self.machine.records.sendall(f"{line}\n".encode())
        except BlockingIOError as error:
            raise KernelHung("The guest does not take what it is sent.", self._hint) from error
        except OSError as error:
            raise KernelDied(self._said("The guest is gone."), self._hint) from error

    def _hung(self) -> NoReturn:
        """Tell a hung test from a hung kernel, and both from a QEMU that does nothing."""
        last = f"record {self.received}"
        if self.console.dead:
            raise self._dead()
        if self.machine.suspended:
            raise MachineError("QEMU was stopped by a signal, such as SIGSTOP.", self._hint)
        if self.guest and self.console.ping(self.deadlines.ping):
            raise TestHung(
                f"The play after {last} does not end; the guest still answers.",
                "The probed function, the handler or the engine waits for something.",
            )
        from harness.vm import qmp

        standing = qmp.standing(self.machine.qmp)
        if standing is None:
            raise MachineError(self._said("QEMU itself does not answer."), self._hint)
        if standing.state != qmp.RUNNING:
            said = f"QEMU has stopped the guest, whose state is '{standing.state}'."
            raise MachineError(self._said(said), self._hint)
        what = f"The guest hangs after {last}."
        if not self.guest:
            what = (
                f"The guest was not up within {self.deadlines.boot:g} s, which --boot-deadline can"
                " raise."
            )
        counters = "; ".join(standing.counters)
        raise KernelHung(" ".join(filter(None, (what, self._shortage, counters))), self._hint)

    @property
    def starved(self) -> bool:
        """The guest had too little memory to begin with, which is no kernel's fault."""
        return self.guest is None and bool(self._shortage)

    def _dead(self) -> HarnessError:
        """Return the error for what the kernel died of."""
        kind = InfrastructureError if self.starved else KernelDied
        return kind(". ".join(filter(None, (str(self.console.dead), self._shortage))), self._hint)

    @property
    def _shortage(self) -> str:
        """A sentence where the guest ran out of memory."""
        if not (self.console.watcher.starved or self.machine.too_small):
            return ""
        mib = self.machine.machine.config.memory_mib
        return f"The guest ran out of its {mib} MiB of memory, which --memory can raise."

    def _said(self, what: str) -> str:
        """`what`, with the last words of QEMU and of the guest."""
        said = (what, self._shortage, self.machine.output, " | ".join(self.console.tail))
        return " ".join(filter(None, said))
