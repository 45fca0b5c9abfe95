# SPDX-License-Identifier: GPL-2.0-only
"""
A port of the loopback through which a debugger reaches QEMU's stub, and nothing else.

QEMU's stub gives access to more than the guest: to QEMU's monitor, which can write the
user's files, and to the guest's physical memory.  Packets from the port are therefore parsed,
and QEMU gets only packets that are written anew from the parsed ones.
"""

from __future__ import annotations

import os
import re
import select
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from harness.errors import HarnessError, InfrastructureError

LOOPBACK = "127.0.0.1"
# The time for the rest of a packet that has begun, for a client's first packet, and for either
# side to take data that was sent to it.
SECONDS = 10
CHUNK = 1 << 14
# How many bytes may wait to be taken before no more are read.
ROOM = 1 << 16
# QEMU's own limit for the text of a packet, and the size of such a packet with every byte escaped.
LONGEST = 4095
_LONGEST_SENT = 2 * LONGEST + len("$#00")

# GDB manual, "Remote Protocol", "Overview": acknowledgements, and an interrupt.
_SINGLE = b"+-\x03"
# A packet, or with "%" a notification.
_PACKET = re.compile(rb"([$%])((?:[^#$}]|}[^#$])*+)#([0-9a-fA-F]{2})", re.DOTALL)
_BEGUN = re.compile(rb"[$%](?:[^#$}]|}[^#$])*+(?:}|#[0-9a-fA-F]?)?", re.DOTALL)
_ESCAPED = re.compile(rb"}(.)", re.DOTALL)
# The asterisk is escaped, too, since it stands for run-length encoding in answers.
_TO_ESCAPE = re.compile(rb"[#$}*]")

# The packets that are needed to debug the guest; the names are those of the manual's "Packets"
# and "General Query Packets", and of QEMU's documentation, "GDB usage".
_PASSED = re.compile(
    # State, continue, step, detach, kill.
    rb"[?!cCsSDk]"
    # Registers, memory as the CPU sees it, threads, breakpoints.
    rb"|[gGpP]|[mMxX]|[HT]|[zZ]"
    rb"|v(?:Cont|Kill|MustReplyEmpty)"
    rb"|q(?:Supported|Attached|Symbol|TStatus|Offsets|ThreadExtraInfo,|[fs]ThreadInfo|C\Z)"
    rb"|qXfer:features:read:"
    rb"|[qQ]qemu\.sstep"
)
# A packet that, by the manual, no stub knows, so that its answer is empty.
_UNKNOWN = b"vMustReplyEmpty"


class NoPacket(HarnessError):
    """A client sent data that are not of GDB's remote protocol."""


def packet(text: bytes) -> bytes:
    """Return a packet with this text."""
    data = _TO_ESCAPE.sub(lambda match: bytes((ord("}"), match[0][0] ^ 0x20)), text)
    return b"$%s#%02x" % (data, sum(data) & 0xFF)


class Filter:
    """Filters the bytes that one client sends to QEMU."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def pending(self) -> bool:
        """Whether a packet has begun and not ended."""
        return bool(self._rest)

    def feed(self, data: bytes) -> bytes:
        """
        Return what QEMU gets for the client's next bytes.

        A packet that is refused is replaced by one that QEMU does not know, so that the
        client gets an answer in turn.  Raises NoPacket at the first byte that belongs to no
        packet, and QEMU then gets nothing of `data`.
        """
        self._rest += data
        passed = bytearray()
        at = 0
        while at < len(self._rest):
            if self._rest[at] in _SINGLE:
                passed.append(self._rest[at])
                at += 1
            elif match := _PACKET.match(self._rest, at):
                passed += _passed(match)
                at = match.end()
            else:
                break
        self._rest = self._rest[at:]
        begun = len(self._rest) <= _LONGEST_SENT and _BEGUN.fullmatch(self._rest)
        if self._rest and not begun:
            raise NoPacket(f"no packet begins with {self._rest[:20]!r}.")
        return bytes(passed)


def _passed(match: re.Match[bytes]) -> bytes:
    kind, data, checksum = match.groups()
    if sum(data) & 0xFF != int(checksum, 16):
        raise NoPacket(f"the checksum of a packet is wrong: {match[0][:20]!r}.")
    if kind == b"%":
        # QEMU knows no notifications, and would not answer one.
        return b""
    text = _ESCAPED.sub(lambda match: bytes((match[1][0] ^ 0x20,)), data)
    return packet(text if len(text) <= LONGEST and _PASSED.match(text) else _UNKNOWN)


def _as_listed(address: str, port: int, family: socket.AddressFamily) -> str:
    """Return an end of a connection as /proc/net/tcp and tcp6 print it."""
    data = socket.inet_aton(address)
    if family == socket.AF_INET6:
        data = bytes(10) + b"\xff\xff" + data
    words = (int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, len(data), 4))
    return f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"


def owner(
    table: str,
    end: tuple[str, int],
    other: tuple[str, int],
    family: socket.AddressFamily = socket.AF_INET,
) -> int | None:
    """
    Return the UID of the user who has the connection from `end` to `other`, or None.

    `table` is the text of /proc/net/tcp, or of tcp6 with AF_INET6, in which an IPv4 address
    is a mapped one.
    """
    # A closed connection has no inode, and UID 0 whoever had it.
    wanted = [_as_listed(*end, family), _as_listed(*other, family), "01"]
    for line in table.splitlines():
        fields = line.split()
        if fields[1:4] == wanted and len(fields) > 9 and fields[9] != "0":
            return int(fields[7])
    return None


def _owner(client: socket.socket) -> int | None:
    """Return the UID of the user at the other end of a connection, or None; raise OSError."""
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        file = Path("/proc/net", name)
        if file.exists():
            uid = owner(file.read_text(), client.getpeername(), client.getsockname(), family)
            if uid is not None:
                return uid
    return None


class _Flow:
    """One direction of a connection, with the data that were read and not yet taken."""

    def __init__(
        self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]
    ) -> None:
        self._source = source
        self._target = target
        self._change = change
        self.waiting = bytearray()
        self._ended = False
        # When the target last took something, or when the first of the waiting data came.
        self.since = 0.0

    @property
    def reads(self) -> bool:
        return not self._ended and len(self.waiting) < ROOM

    @property
    def over(self) -> bool:
        return self._ended and not self.waiting

    def move(self) -> None:
        """Read what has arrived and send what the target takes; raise NoPacket or OSError."""
        if self.reads:
            try:
                data = self._source.recv(CHUNK, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
            else:
                if not self.waiting:
                    self.since = time.monotonic()
                self._ended = not data
                self.waiting += self._change(data)
        if self.waiting:
            try:
                sent = self._target.send(self.waiting, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            del self.waiting[:sent]
            self.since = time.monotonic()


class _Visit:
    """One client that is connected to the stub."""

    def __init__(self, client: socket.socket, stub: socket.socket) -> None:
        self._client = client
        self._stub = stub
        self._filter = Filter()
        self._to_stub = _Flow(client, stub, self._filter.feed)
        self._to_client = _Flow(stub, client, bytes)
        # When an unfinished packet began, or since when the first packet is waited for.
        self._begun: float | None = time.monotonic()

    @property
    def over(self) -> bool:
        return self._to_stub.over or self._to_client.over

    @property
    def deadline(self) -> float:
        """When either side will have been waited for too long."""
        waits = [flow.since for flow in (self._to_stub, self._to_client) if flow.waiting]
        if self._begun is not None:
            waits.append(self._begun)
        return min(waits, default=float("inf")) + SECONDS

    def move(self) -> None:
        """Pass on what there is; raise NoPacket or OSError."""
        self._to_stub.move()
        self._to_client.move()
        if self._filter.pending:
            self._begun = self._begun or time.monotonic()
        elif self._to_stub.since:
            self._begun = None
        if time.monotonic() > self.deadline:
            raise NoPacket(f"it sent or took nothing within {SECONDS} s.")

    def watched(self) -> dict[socket.socket, int]:
        """Return, for each socket, the epoll events after which move() is to be called."""
        return {
            self._client: _events(self._to_stub, self._to_client),
            self._stub: _events(self._to_client, self._to_stub),
        }


def _events(source: _Flow, target: _Flow) -> int:
    return select.EPOLLIN * source.reads | select.EPOLLOUT * bool(target.waiting)


class Door:
    """
    The port, which is opened on entry and closed with its connections on exit.

    It accepts one client at a time, which must be a process of the same user.  The caller
    must call look() when fileno() is readable, and after at most `seconds`.  `report` is
    called once with each reason for which a client is disconnected.
    """

    def __init__(self, port: int, report: Callable[[str], object]) -> None:
        self.port = port
        self._report = report
        self._reported: set[str] = set()
        self._visit: _Visit | None = None
        self._visitor = ExitStack()
        self._resources = ExitStack()

    def __enter__(self) -> Door:
        with ExitStack() as resources:
            self._listener = resources.enter_context(socket.socket())
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self._listener.bind((LOOPBACK, self.port))
                self._listener.listen()
            except OSError as error:
                raise InfrastructureError(
                    f"The port {self.port} cannot be had: {error.strerror}.",
                    "Give another one, or none: a socket of your own then leads to the guest.",
                ) from error
            self._listener.setblocking(False)
            self._poll = resources.enter_context(select.epoll())
            self._poll.register(self._listener, select.EPOLLIN)
            resources.callback(self._show_out)
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._resources.close()

    def fileno(self) -> int:
        """Return a descriptor that is readable when look() has something to do."""
        return self._poll.fileno()

    @property
    def seconds(self) -> float | None:
        """The time until look() must be called in any case, in seconds; None for no limit."""
        if self._visit is None or self._visit.deadline == float("inf"):
            return None
        return max(0.0, self._visit.deadline - time.monotonic())

    def look(self, stub: Path) -> None:
        """Accept, serve and disconnect clients; `stub` is the path of QEMU's own socket."""
        found = dict(self._poll.poll(0))
        broken = any(events & (select.EPOLLHUP | select.EPOLLERR) for events in found.values())
        next_one = self._listener.fileno() in found
        # The present client comes first, since it may have left before the next one came; it
        # takes a second read to see its end, after the last data.
        for _ in range(2 if next_one else 1):
            if self._visit:
                self._attend(self._visit, broken)
        if next_one:
            self._answer(stub)

    def _attend(self, visit: _Visit, broken: bool) -> None:
        try:
            visit.move()
        except NoPacket as error:
            self._show_out(error.sentence)
        except OSError:
            self._show_out()
        else:
            if broken or visit.over:
                self._show_out()
            else:
                for connection, events in visit.watched().items():
                    self._poll.modify(connection, events)

    def _answer(self, stub: Path) -> None:
        """Accept a connection, and keep it if its client is allowed in."""
        with ExitStack() as visitor:
            try:
                client = visitor.enter_context(self._listener.accept()[0])
            except (BlockingIOError, ConnectionError):
                # The client left at once.
                return
            if why := self._objection(client):
                self._say(why)
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            inner = visitor.enter_context(socket.socket(socket.AF_UNIX))
            inner.setblocking(False)
            try:
                inner.connect(str(stub))
            except OSError as error:
                self._say(f"QEMU does not answer: {error.strerror}.")
                return
            for connection in (client, inner):
                self._poll.register(connection, select.EPOLLIN)
            self._visit = _Visit(client, inner)
            self._visitor = visitor.pop_all()

    def _objection(self, client: socket.socket) -> str:
        """Return why a client is not allowed in, or an empty string if it is."""
        try:
            uid = _owner(client)
        except OSError as error:
            # The client has left, or /proc/net cannot be read.
            return f"its user is not known: {error.strerror}."
        if uid is None:
            return "its user is not known."
        if uid != os.geteuid():
            return f"it is another user's, with UID {uid}."
        return "there is another one." if self._visit else ""

    def _show_out(self, why: str = "") -> None:
        self._visit = None
        # epoll forgets what is closed.
        self._visitor.close()
        if why:
            self._say(why)

    def _say(self, why: str) -> None:
        if why not in self._reported:
            self._reported.add(why)
            self._report(f"Port {self.port}: a client was shown out: {why}")
