# SPDX-License-Identifier: GPL-2.0-only
"""
A visitor to a guest that waits for a debugger.

Run as `visitor.py DEED COMMAND...`: start the command, do the deed once the guest waits, print
what the command prints, and end with its status.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.users import another, python

SECONDS = 30
WAITS, OVER = "The guest waits", "The play is over"
# As a debugger sends it: an acknowledgement, and a packet with its checksum.
DETACH = b"+$D#44"


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), SECONDS) as client:
        yield client


def packet(text: bytes) -> bytes:
    return b"+$%s#%02x" % (text, sum(text) & 0xFF)


def answer(client: socket.socket, data: bytes) -> bytes:
    """Send data, and return the packet that comes back; b"" if the connection is closed."""
    said = b""
    with suppress(ConnectionResetError):
        client.sendall(data)
        while b"#" not in said and (more := client.recv(4096)):
            said += more
    return said


def let_go(port: int) -> None:
    with connected(port) as client:
        assert b"$OK#" in answer(client, DETACH)


def post(port: int) -> None:
    """Send an HTTP POST, as a page in a browser may, whose body is a packet for the stub."""
    body = packet(b"qRcmd,71756974")
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connected(port) as client:
        print(f"the browser got {answer(client, head + body)!r}")
    let_go(port)


def stranger(port: int) -> None:
    """Connect as another user, with a debugger."""
    ask = (
        "import socket\n"
        f"with socket.create_connection(('127.0.0.1', {port})) as client:\n"
        "    try:\n"
        "        client.sendall(b'+$g#67')\n"
        "        print('the stranger got', client.recv(99))\n"
        "    except ConnectionResetError:\n"
        "        print('the stranger got', b'')\n"
    )
    subprocess.run([*another(), python(), "-c", ask], check=True, timeout=SECONDS)
    let_go(port)


def asking(*texts: bytes) -> Callable[[int], None]:
    """Connect with a debugger of the user's own that asks for more than the guest."""

    def deed(port: int) -> None:
        with connected(port) as client:
            for text in texts:
                said = answer(client, packet(text))
                print(f"{text.decode()} got {said.partition(b'$')[2].partition(b'#')[0]!r}")
            assert b"$OK#" in answer(client, DETACH)

    return deed


def second(port: int) -> None:
    """Connect with two debuggers at once."""
    with connected(port) as first:
        assert answer(first, packet(b"?"))
        with connected(port) as client:
            print(f"the second got {answer(client, packet(b'?'))!r}")
        assert b"$OK#" in answer(first, DETACH)


def half(port: int) -> None:
    """Disconnect in the middle of a packet."""
    with connected(port) as client:
        client.sendall(b"+$m")
    let_go(port)


DEEDS = {
    "post": post,
    "stranger": stranger,
    "second": second,
    "half": half,
    "monitor": asking(b"qRcmd,71756974", b"?"),
    "memory": asking(b"Qqemu.PhyMemMode:1", b"qqemu.PhyMemMode", b"?"),
    # The control: what the port passes on gets QEMU's own answer.
    "features": asking(b"qAttached"),
}


def _qemu(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(one) for one in children if "qemu" in Path(f"/proc/{one}/comm").read_text())


def main(deed: str, words: list[str]) -> int:
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            _visit(process, deed, words[-1])
        except BaseException:
            process.terminate()
            raise
    return process.returncode


def _visit(process: subprocess.Popen[str], deed: str, port: str) -> None:
    assert process.stdout
    for line in process.stdout:
        print(line, end="", flush=True)
        if WAITS in line:
            if deed in DEEDS:
                DEEDS[deed](int(port))
            else:
                os.kill(_qemu(process.pid), signal.Signals[deed])
        elif OVER in line:
            # All is well still, and reported at the end.
            process.send_signal(signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
