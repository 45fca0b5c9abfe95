# SPDX-License-Identifier: GPL-2.0-only
"""One boot of one guest: its records, its console, its end."""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
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
from harness.guest.deadlines import DEFAULT_DEADLINES, Deadlines
from harness.guest.initramfs import Channel
from harness.guest.protocol import Parser, ProtocolError
from harness.guest.records import DamagedRecord, Introduction, Played, Record, StreamEnd
from harness.guest.window import Window
from harness.host import blame
from harness.host.deadline import Deadline
from harness.run.logs import BootLog, see
from harness.steps import LOG
from harness.vm.console import Console
from harness.vm.running import Running

# Ends a plan that is sent line by line.
END = "."
# Powers the guest off, in the place of a line.
OFF = "!"
# How often to read a console that never becomes silent.
LAST_READS = 16
TOO_MANY = "The guest sent more records than were planned."
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
        preloaded: bool = False,
    ) -> None:
        """A `preloaded` guest has its plan in the initrd, plays it and powers off by itself."""
        self.machine = machine
        self.console = Console(machine.console, log.console if log else None)
        self.log = log
        self._hint = see(str(log.run)) if log else ""
        self.guest: Introduction | None = None
        # What the guest has sent up to its introduction.
        self.opening = b""
        # Whether what is played goes to the log.
        self.recording, self.ended = True, False
        self.deadlines = deadlines
        # A guest that does not take what it is sent must not be waited for, either (socket(7)).
        limit = struct.pack("ll", *divmod(round(deadlines.play * 10**6), 10**6))
        machine.records.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        # Records received since play(), or of all commands before that.
        self.received = 0
        # Lines that the guest has played, in all plans.
        self.played = 0
        self._window = Window(())
        # Whether the guest takes lines of a plan, and no commands.
        self._streaming = False
        self._preloaded = preloaded
        # Called once, when the kernel has printed why it dies.
        self.on_death: Callable[[], None] | None = None
        self._examined = False
        self._channel = channel
        self._parser = Parser(shared=channel is Channel.SERIAL)
        # Records that have come and were not yet returned by take().
        self._early: deque[Record] = deque()
        self._poll = select.epoll()
        for source in (machine.records.fileno(), self.console.fileno(), machine.pidfd):
            self._poll.register(source, select.EPOLLIN)

    def close(self) -> None:
        """Give back what the kernel has for it; an error may keep it for longer than it is used."""
        self._poll.close()

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

        To be called while waiting for something else: a guest that is not heard blocks.
        """
        self._read(0)
        return not self.ended

    def take(self) -> list[Record]:
        """
        Return the records that look() has read; raises protocol_fault() for a damaged one.

        Valid records before a damaged one are returned first; the next call raises.
        """
        sound = []
        while self._early and not isinstance(self._early[0], DamagedRecord):
            sound.append(self._early.popleft())
        if self._early and not sound:
            raise self.protocol_fault(str(self._early.popleft()))
        for record in sound:
            self.received += 1
            LOG.debug("record %d has come", self.received)
            if isinstance(record, Played):
                self.played = record.seq
                self._window.played()
            elif isinstance(record, StreamEnd):
                self._streaming = False
        self._send_more()
        return sound

    def introduce(self) -> Introduction:
        """
        Return the guest's introduction, and wait for it if need be.

        Raises as wait(), and InfrastructureError for a guest that ended before.
        """
        self._await(lambda: bool(self.guest or self._early), self.deadlines.boot)
        if not self.guest:
            self.take()
            self.check_end()
            raise InfrastructureError(self._said("The guest could not set itself up."), self._hint)
        return self.guest

    def resumed(self, opening: bytes, played: int) -> None:
        """Go on as with the guest that had sent `opening` and had played so many lines."""
        self._streaming = True
        self.played = played
        self._take(opening)
        self.take()

    def play(self, plan: Sequence[str]) -> None:
        """
        Have a guest that has introduced itself play a plan; its records come as they are awaited.

        Lines are taken from the plan when they are sent, shortly before the guest plays them.
        """
        self.received = 0
        self._window = Window(plan)
        if not (self._streaming or self._preloaded):
            self._try("stream")
            self._streaming = True
        self._send_more()

    def _send_more(self) -> None:
        """Send as much of the plan as keeps the guest busy."""
        if not self._preloaded and (lines := self._window.more()):
            if self.log and self.recording:
                self.log.play(lines)
            self._try("\n".join(lines))

    def _try(self, text: str) -> None:
        """Send to a guest that may have ended, which is seen by whoever waits for it."""
        with suppress(KernelDied):
            self._write(text)

    def power_off(self) -> None:
        """Have the guest power off, and wait until it has; raises as wait() and check_end()."""
        if not (self.ended or self._preloaded):
            self._try(OFF if self._streaming else "off")
        while not self.ended or self._early:
            if self.wait(self.deadlines.end):
                raise self.protocol_fault(TOO_MANY)
        self.check_end()

    def protocol_fault(self, sentence: str) -> HarnessError:
        """Return the error for a record that the guest's module cannot have written."""
        if self._channel is Channel.SERIAL:
            return ProtocolError(sentence, SHARED_LINE)
        # Nobody else writes there: memory must be damaged.
        return KernelFault(sentence, self._hint)

    def records(self) -> Iterator[Record]:
        """
        Yield the record of each line of the plan, as it arrives.

        Raises KernelFault for the kernel's fault, and InfrastructureError if QEMU failed.
        """
        planned = self._window.planned
        whole = self.deadlines.whole(planned)
        deadline = Deadline(whole)
        while self.received < planned:
            if deadline.passed:
                raise TestHung(
                    f"{self.received} of {planned} plays took {whole:g} s together.", self._hint
                )
            yield from self.wait(self.deadlines.play)
            if self.ended and not self._early and self.received < planned:
                self.check_end()
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
            end = blame.killed("QEMU", -status)
            raise MachineError(self._said(end.sentence), end.hint)
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
        self._await(lambda: bool(self._early), seconds)
        return self.take()

    def _await(self, came: Callable[[], bool], seconds: float) -> None:
        """Read until something has come, or QEMU has ended; raises as wait()."""
        deadline = Deadline(seconds)
        dying = False
        while not came():
            if self._examined:
                raise self._dead()
            heard = self._read(deadline.left)
            if self.ended or came():
                break
            if not heard or deadline.passed:
                self._hung()
            if self.console.dead and self.on_death:
                self.on_death()
                self._examined = True
            if self.console.dead and not dying:
                dying = True
                deadline = deadline.sooner(self.deadlines.end)

    def _read(self, seconds: float) -> bool:
        """Read and keep the next records; return False if nothing arrives in time."""
        sources = {number for number, _ in self._poll.poll(seconds)}
        self.ended = self.ended or self.machine.pidfd in sources
        if self.console.fileno() in sources or self.ended:
            self._read_console()
        if self.machine.records.fileno() in sources or self.ended:
            self._read_records()
        return bool(sources)

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
                self._parse(text.encode())
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
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        for record in self._parser.feed(data):
            # After damage, an introduction does not count.
            if not isinstance(record, Introduction):
                self._early.append(record)
            elif not self._early:
                self.guest = record
                LOG.info("the guest of %s is up", record.release)

    def send(self, line: str) -> None:
        """Send a command to a guest that plays nothing; raises KernelDied or KernelHung."""
        if self._streaming:
            self._streaming = False
            self._write(END)
            if not isinstance(self.await_record(self.deadlines.play), StreamEnd):
                raise self.protocol_fault(TOO_MANY)
        self._write(line)

    def _write(self, text: str) -> None:
        try:
            if self._channel is Channel.SERIAL:
                self.console.send_line(text)
            else:
                self.machine.records.sendall(f"{text}\n".encode())
        except BlockingIOError as error:
            raise KernelHung("The guest does not take what it is sent.", self._hint) from error
        except OSError as error:
            raise KernelDied(self._said("The guest is gone."), self._hint) from error

    def _hung(self) -> NoReturn:
        """Raise TestHung, KernelHung or, if QEMU itself does nothing, MachineError."""
        if self.console.dead:
            raise self._dead()
        if self.machine.suspended:
            raise MachineError("QEMU was stopped by a signal, such as SIGSTOP.", self._hint)
        if self.guest and self.console.ping(self.deadlines.ping):
            raise TestHung(
                f"The play after record {self.received} does not end; the guest still answers.",
                "The probed function, the handler or the engine waits for something.",
            )
        from harness.vm import qmp

        standing = qmp.standing(self.machine.qmp)
        if standing is None:
            raise MachineError(self._said("QEMU itself does not answer."), self._hint)
        if standing.state != qmp.RUNNING:
            text = f"QEMU has stopped the guest, whose state is '{standing.state}'."
            raise MachineError(self._said(text), self._hint)
        what = f"The guest hangs after record {self.received}."
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
