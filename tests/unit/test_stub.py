# SPDX-License-Identifier: GPL-2.0-only
"""The debugger's port: which bytes of a client QEMU gets, and who may be a client."""

from __future__ import annotations

import re
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InfrastructureError
from harness.vm import stub
from harness.vm.stub import Door, Filter, NoPacket, owner, packet
from tests.users import another, python

SECONDS = 10
EMPTY = b"$#00"
# Packets that a debugger sends when it connects, and later.
DEBUGGING = (
    b"qSupported:multiprocess+;swbreak+;xmlRegisters=i386", b"vMustReplyEmpty", b"vCont?", b"Hg0",
    b"qXfer:features:read:target.xml:0,ffb", b"qTStatus", b"?", b"qfThreadInfo", b"qsThreadInfo",
    b"qAttached:1", b"Hc-1", b"qC", b"qOffsets", b"qSymbol::", b"qThreadExtraInfo,p1.1", b"g",
    b"p20", b"P20=0000", b"m10,4", b"M10,1:00", b"X10,1:*}#$", b"Z1,10,4", b"z1,10,4", b"T1",
    b"vCont;c:p1.-1", b"!", b"c", b"s", b"D;1", b"k", b"vKill;1", b"Qqemu.sstep=5",
)  # fmt: skip
# Further packets that QEMU's stub takes, and ones that it may take some day.
REFUSED = (
    b"qRcmd,71756974", b"Qqemu.PhyMemMode:1", b"qqemu.PhyMemMode", b"QRcmd,71", b"F0", b"R00",
    b"vFile:open:2f", b"vRun;2f", b"vAttach;1", b"QStartNoAckMode", b"qCRC:0,4", b"bs", b"",
    b"qXfer:exec-file:read::0,ff", b"Rcmd", b"qqemu.Supported", b"\x00qRcmd,71", b"m" * 4096,
)  # fmt: skip


def framed(text: bytes) -> bytes:
    """Return a packet as any client could write it, with nothing escaped."""
    return b"$%s#%02x" % (text, sum(text) & 0xFF)


def seen(data: bytes) -> list[bytes]:
    """
    Return the packets in what QEMU is sent, as its stub reads them.

    The stub drops a packet that is too long, begins anew at what follows, and takes an asterisk for
    the repetition of what came before.
    """
    found, at = [], 0
    while at < len(data):
        if data[at : at + 1] != b"$":
            at += 1
            continue
        at += 1
        text = bytearray()
        while at < len(data) and data[at : at + 1] != b"#" and len(text) < 4095:
            if data[at : at + 1] == b"}":
                at += 1
                text.append(data[at] ^ 0x20)
            elif data[at : at + 1] == b"*" and text:
                at += 1
                text += text[-1:] * (data[at] - ord(" ") + 3)
            else:
                text.append(data[at])
            at += 1
        if data[at : at + 1] == b"#":
            found.append(bytes(text))
            at += 3
    return found


@pytest.mark.parametrize("text", DEBUGGING)
def test_a_debuggers_packets_are_passed(text: bytes) -> None:
    assert seen(Filter().feed(packet(text))) == [text]


@pytest.mark.parametrize("text", REFUSED)
def test_others_are_answered_as_unknown(text: bytes) -> None:
    assert seen(Filter().feed(packet(text))) == [b"vMustReplyEmpty"]


def test_acknowledgements_and_interrupts_are_passed_and_notifications_not() -> None:
    assert Filter().feed(b"+-\x03" + framed(b"Stop:T05").replace(b"$", b"%") + b"+") == b"+-\x03+"


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n$qRcmd,71756974#9f", b"\x16\x03\x01\x02", b"\n",
        b"GET / HTTP/1.1\r\n", b"SSH-2.0-x", b"$g#68", b"$g#6", b"$g#g7", b"+$g$g#67", b"$}##00",
        b"#", b"g", b"\x00", b"$" + b"0" * 9000,
    ],
)  # fmt: skip
def test_what_is_no_packet_ends_it(data: bytes) -> None:
    one = Filter()
    before = one.feed(packet(b"g"))
    with pytest.raises(NoPacket):
        assert one.feed(data) == b""
        # The end of the packet may not have come yet.
        one.feed(b"\n")
    assert before == packet(b"g")


def test_nothing_of_a_request_reaches_qemu_even_if_it_begins_as_a_packet() -> None:
    """A page of the same origin may choose such a method."""
    with pytest.raises(NoPacket):
        Filter().feed(packet(b"k") + b" / HTTP/1.1\r\n")


def test_a_packet_comes_in_any_parts() -> None:
    one = Filter()
    data = packet(b"m10,4")
    passed = [one.feed(data[at : at + 1]) for at in range(len(data))]
    assert passed[:-1] == [b""] * (len(data) - 1)
    assert passed[-1] == data
    assert not one.pending


# Bytes that mean something are more frequent than others.
PIECES = st.lists(
    st.one_of(
        st.sampled_from([framed(text) for text in (*DEBUGGING, *REFUSED)]),
        st.sampled_from([packet(text) for text in (*DEBUGGING, *REFUSED)]),
        st.sampled_from([b"$", b"#", b"}", b"*", b"*#", b"}#", b"+", b"\x03", b"%", b"qRcmd,71"]),
        st.binary(max_size=8).map(framed),
        st.binary(max_size=4),
    ),
    max_size=8,
).map(b"".join)


@given(PIECES, st.lists(st.integers(0, 200), max_size=6))
def test_whatever_comes_qemu_sees_packets_of_a_debuggers_alone(
    data: bytes, cuts: list[int]
) -> None:
    one, passed, at = Filter(), b"", 0
    with suppress(NoPacket):
        for cut in [*sorted(cuts), len(data)]:
            passed += one.feed(data[at:cut])
            at = max(at, cut)
    for text in seen(passed):
        assert re.match(
            rb"[?!cCsSDkgGpPmMxXHTzZ]|v[CKM]|q[SACTOfs]|qXfer:features|[qQ]qemu.ss", text
        )
        assert text[:5] not in (b"qRcmd", b"QRcmd")
        assert b"PhyMemMode" not in text[:16]


@given(st.lists(st.sampled_from([b"*", b"}", b"#", b"$", b"\x00", b"~", b"a"])).map(b"".join))
def test_qemu_sees_the_text_that_was_judged(data: bytes) -> None:
    text = b"X" + data
    assert seen(Filter().feed(packet(text))) == [text]
    # A client need not escape what has a meaning only in answers.
    text = re.sub(rb"[#$}]", b"", text)
    assert seen(Filter().feed(framed(text))) == [text]


@given(PIECES, st.integers(0, 200))
def test_it_does_not_matter_how_bytes_come(data: bytes, cut: int) -> None:
    def reported(*parts: bytes) -> tuple[bool, bool]:
        one = Filter()
        try:
            for part in parts:
                one.feed(part)
        except NoPacket:
            return False, False
        return True, one.pending

    assert reported(data) == reported(data[:cut], data[cut:])


TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:04D2 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31 1
   1: 0100007F:C350 0100007F:04D2 01 00000000:00000000 00:00000000 00000000  1001        0 32 1
   2: 0100007F:04D2 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 33 1
   3: 0100007F:C351 0100007F:04D2 06 00000000:00000000 03:00000000 00000000     0        0 0 3
   4: 0100007F:C352 0100007F:04D2 01 00000000:00000000 00:00000000 00000000     0        0 0 1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 0000000000000000FFFF00000100007F:C350 0000000000000000FFFF00000100007F:04D2 01 \
00000000:00000000 00:00000000 00000000  1002        0 34 1
"""


def test_the_owner_of_a_connections_other_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # The tables come from a little-endian machine.
    monkeypatch.setattr(sys, "byteorder", "little")
    here = ("127.0.0.1", 1234)
    assert owner(TCP, ("127.0.0.1", 50000), here) == 1001
    assert owner(TCP6, ("127.0.0.1", 50000), here, socket.AF_INET6) == 1002
    # A connection that has no owner any longer is listed as root's.
    assert owner(TCP, ("127.0.0.1", 50001), here) is None
    assert owner(TCP, ("127.0.0.1", 50002), here) is None
    assert owner(TCP, ("127.0.0.1", 50003), here) is None
    assert owner(TCP, ("127.0.0.2", 50000), here) is None


class Place:
    """A door, with a stand-in for QEMU behind it."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.stub = folder / "gdb"
        self.qemu = socket.socket(socket.AF_UNIX)
        self.qemu.bind(str(self.stub))
        self.qemu.listen()
        self.qemu.settimeout(SECONDS)
        with socket.socket() as one:
            one.bind((stub.LOOPBACK, 0))
            port = one.getsockname()[1]
        self.door = Door(port, self.said.append)

    @contextmanager
    def client(self) -> Iterator[socket.socket]:
        with socket.create_connection((stub.LOOPBACK, self.door.port), SECONDS) as one:
            yield one

    def until(self, ready: Callable[[], object]) -> None:
        """Serve until `ready` returns something true."""
        while not ready():
            assert select.select([self.door], [], [], SECONDS)[0], self.said
            self.door.look(self.stub)

    def look(self) -> None:
        """Serve what has come."""
        while select.select([self.door], [], [], 0)[0]:
            self.door.look(self.stub)

    def accept(self) -> socket.socket:
        """Wait until a client is let in, and return QEMU's end of the connection."""
        self.until(lambda: select.select([self.qemu], [], [], 0)[0])
        return self.qemu.accept()[0]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path)
    with one.qemu, one.door:
        yield one


def test_a_debugger_is_let_in(place: Place) -> None:
    with place.client() as client, place.accept() as qemu:
        assert place.door.seconds is not None
        client.sendall(packet(b"g") + packet(b"qRcmd,71756974"))
        place.until(lambda: select.select([qemu], [], [], 0)[0])
        assert qemu.recv(100) == packet(b"g") + packet(b"vMustReplyEmpty")
        qemu.sendall(b"+$0011#c2+$#00")
        place.until(lambda: select.select([client], [], [], 0)[0])
        assert client.recv(100) == b"+$0011#c2+$#00"
        # From then on, the client may take its time.
        assert place.door.seconds is None
    assert place.said == []


def test_a_browser_is_not(place: Place) -> None:
    with place.client() as client, place.accept() as qemu:
        client.sendall(b"POST / HTTP/1.1\r\n\r\n" + packet(b"qRcmd,71756974"))
        place.until(lambda: place.said)
        assert qemu.recv(100) == b""
        with suppress(ConnectionResetError):
            assert client.recv(100) == b""
    assert "no packet begins with b'POST / HTTP/1.1" in place.said[0]


def test_one_client_at_a_time(place: Place) -> None:
    with place.client() as first, place.accept() as qemu:
        with place.client() as second:
            place.until(lambda: place.said)
            assert second.recv(1) == b""
        assert "there is another one" in place.said[0]
        first.sendall(b"+")
        place.until(lambda: select.select([qemu], [], [], 0)[0])
        assert qemu.recv(1) == b"+"
        first.close()
        place.until(lambda: select.select([qemu], [], [], 0)[0])
        assert qemu.recv(1) == b""
    with place.client(), place.accept():
        pass


def test_the_next_client_may_come_as_soon_as_one_has_gone(place: Place) -> None:
    with place.client() as first:
        # QEMU does not end the connection.
        old = place.accept()
        first.sendall(b"+$m")
    with old, place.client() as second, place.accept() as qemu:
        second.sendall(b"+")
        place.until(lambda: select.select([qemu], [], [], 0)[0])
    assert place.said == []


def test_a_client_that_says_nothing_is_shown_out(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stub, "SECONDS", 0.1)
    for begin in (b"", b"+$g"):
        with place.client() as client, place.accept():
            client.sendall(begin)
            while place.door.seconds is not None:
                select.select([place.door], [], [], place.door.seconds)
                place.door.look(place.stub)
            assert client.recv(1) == b""
    assert "within 0.1 s" in place.said[0]


def test_a_client_that_takes_nothing_is_shown_out(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stub, "SECONDS", 0.5)
    with place.client() as client, place.accept() as qemu:
        client.sendall(b"+")
        qemu.setblocking(False)
        sent = 0
        with suppress(BrokenPipeError, ConnectionResetError):
            while not place.said:
                with suppress(BlockingIOError):
                    sent += qemu.send(bytes(stub.CHUNK))
                select.select([place.door], [], [], 0.01)
                place.door.look(place.stub)
        # No more was taken than the kernel's buffers and ours hold.
        assert sent < 32 << 20
    assert "took nothing" in place.said[0]


def test_a_port_that_is_taken() -> None:
    with socket.socket() as busy:
        busy.bind((stub.LOOPBACK, 0))
        busy.listen()
        with (
            pytest.raises(InfrastructureError, match="cannot be had: Address already in use"),
            Door(busy.getsockname()[1], print),
        ):
            pass


KNOCK = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as client:
    client.sendall(b"$g#67")
    try:
        print(client.recv(100))
    except ConnectionResetError:
        print(b"")
"""


@pytest.mark.parametrize("same", [True, False])
def test_another_user_is_not_let_in(place: Place, same: bool) -> None:
    command = [*([] if same else another()), python(), "-c", KNOCK, str(place.door.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        if same:
            with place.accept() as qemu:
                place.until(lambda: select.select([qemu], [], [], 0)[0])
                assert qemu.recv(100) == packet(b"g")
                qemu.sendall(b"answer")
                # Until the client has gone.
                place.until(lambda: select.select([qemu], [], [], 0)[0])
        else:
            place.until(lambda: place.said)
            assert not select.select([place.qemu], [], [], 0)[0]
        reported = client.communicate(timeout=SECONDS)[0]
    assert reported == ("b'answer'\n" if same else "b''\n")
    assert len(place.said) == (0 if same else 1)
    if not same:
        assert "another user's" in place.said[0]
