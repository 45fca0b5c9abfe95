# SPDX-License-Identifier: GPL-2.0-only
"""One boot of one guest: its records, its console, its end."""

from __future__ import annotations

import itertools
import select
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
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
        """Return the limit for a whole boot, in seconds: a few plays may take long, not all."""
        return self.boot + self.end + LONG_PLAYS * self.play + planned * USUAL_SECONDS


DEFAULT_DEADLINES = Deadlines()
# How many plays of a boot may take the whole of their deadline.
LONG_PLAYS = 10
# Time for each play beside these, a hundred times what it takes on an idle machine.
USUAL_SECONDS = 1
# How often to read a console that never becomes silent.
LAST_READS = 16
SHARED_LINE = "This happens on a serial line shared with printk: run again."


class Session:
    """Waits for what a running machine does next."""

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
        # What the guest has sent up to its introduction.
        self.opening = b""
        # Whether records go to the log.
        self.recording = True
        self.deadlines = deadlines
        # A guest that does not take what it is sent must not be waited for, either (socket(7)).
        patience = struct.pack("ll", *divmod(round(deadlines.play * 10**6), 10**6))
        machine.records.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        # Records received, not counting the guest's introduction.
        self.received = 0
        self.ended = False
        # Called once, when the kernel has printed why it dies.
        self.on_death: Callable[[], None] | None = None
        self._examined = False
        self._channel = channel
        self._parser = Parser(shared=channel is Channel.SERIAL)
        # Records read by look() and not yet returned by take().
        self._early: list[Record] = []
        self._poll = select.epoll()
        for source in (machine.records.fileno(), self.console.fileno(), machine.pidfd):
            self._poll.register(source, select.EPOLLIN)

    @property
    def listens(self) -> bool:
        """Whether the guest reads commands from a channel besides its console."""
        return self._channel is Channel.VIRTIO

    def fileno(self) -> int:
        """Readable when there is something for look()."""
        return self._poll.fileno()

    def look(self) -> bool:
        """
        Read what has arrived, and keep its records for wait(); return False once QEMU has ended.

        To be called while waiting for something else: a guest whose output is not read
        blocks.
        """
        self._read(0)
        return not self.ended

    def take(self) -> list[Record]:
        """
        Return the records that look() has read; raises protocol_fault() for a damaged one.

        Valid records before a damaged one are returned first; the next call raises.
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

    def introduce(self) -> Introduction:
        """Return the guest's introduction, and wait for it if need be; raises as await_record()."""
        if self.guest is None:
            self.await_record(self.deadlines.boot)
        if self.guest is None:
            raise self.protocol_fault("The guest did not introduce itself.")
        return self.guest

    def resumed(self, opening: bytes) -> None:
        """Go on as with the guest that had sent `opening`; what came before does not count."""
        self.received, self.recording = 0, True
        self._take(opening)
        self.take()

    def play(self, lines: Sequence[str], *, stay: bool = False) -> None:
        """
        Have a guest that waits for commands play a plan, and then power off unless it is to stay.

        Nothing may be sent before the last record has come.  Raises as send().
        """
        plan = "\n".join(lines)
        self.send(f"plan {len(plan) + 1} {'stay' if stay else 'leave'}\n{plan}")

    def protocol_fault(self, sentence: str) -> HarnessError:
        """
        Return the error for a record that the guest's module cannot have written.

        On a channel that only the module writes to, the guest's memory must be damaged,
        which is the kernel's fault.
        """
        if self._channel is Channel.SERIAL:
            return ProtocolError(sentence, SHARED_LINE)
        return KernelFault(sentence, self._hint)

    def records(self, planned: int) -> Iterator[Record]:
        """
        Yield records as they arrive, until the guest has powered off.

        Raises KernelFault for the kernel's fault, and InfrastructureError if QEMU
        failed or the guest ended before its introduction.
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
        """Raise unless the guest powered off, and its kernel did not die before."""
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
            raise MachineError(self._said("QEMU was ended by a signal."), self._hint)
        raise KernelDied(self._said("The guest ended without powering off."), self._hint)

    def wait(self, seconds: float) -> list[Record]:
        """
        Return the next records, one or more; an empty list once QEMU has ended.

        Raises KernelDied, KernelHung or TestHung if none arrives within `seconds`,
        whatever the console prints meanwhile, MachineError if QEMU is the cause, and
        as take().
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
        """Read and keep the next records; return False if nothing arrives in time."""
        events = self._poll.poll(seconds)
        sources = {number for number, _ in events}
        self.ended = self.ended or self.machine.pidfd in sources
        if self.console.fileno() in sources or self.ended:
            self._read_console()
        if self.machine.records.fileno() in sources or self.ended:
            self._read_records()
        return bool(events)

    def hear_out(self) -> None:
        """Read the kernel's last output, as far as it has arrived."""
        for _ in range(LAST_READS):
            if not self.console.read():
                return

    def await_record(self, seconds: float) -> Record:
        """Return the answer to send(); raises as wait(), and KernelDied without one."""
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
            self._take(data)
            if not self.ended:
                return

    def _take(self, data: bytes) -> None:
        if self.log and self.recording:
            self.log.records.write(data)
        if self.guest is None:
            self.opening += data
        self._early += self._parser.feed(data)

    def send(self, line: str) -> None:
        """Send a command to a guest without a plan; raises KernelDied or KernelHung."""
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
        """Raise TestHung, KernelHung or, if QEMU itself does nothing, MachineError."""
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
            text = f"QEMU has stopped the guest, whose state is '{standing.state}'."
            raise MachineError(self._said(text), self._hint)
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
        """Whether the guest ran out of memory while it booted, which is no kernel's fault."""
        return self.guest is None and bool(self._shortage)

    def _dead(self) -> HarnessError:
        """Return the error for what the kernel died of."""
        kind = InfrastructureError if self.starved else KernelDied
        return kind(". ".join(filter(None, (str(self.console.dead), self._shortage))), self._hint)

    @property
    def _shortage(self) -> str:
        """A sentence if the guest ran out of memory, or ""."""
        if not (self.console.watcher.starved or self.machine.too_small):
            return ""
        mib = self.machine.machine.config.memory_mib
        return f"The guest ran out of its {mib} MiB of memory, which --memory can raise."

    def _said(self, what: str) -> str:
        """`what`, with the last words of QEMU and of the guest."""
        said = (what, self._shortage, self.machine.output, " | ".join(self.console.tail))
        return " ".join(filter(None, said))
