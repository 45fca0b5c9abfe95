# SPDX-License-Identifier: GPL-2.0-only
"""The console of a guest, against a program that answers on it."""

from __future__ import annotations

import socket
import threading
import time

from harness.vm.console import Console


def test_an_answer_that_comes_byte_by_byte() -> None:
    ours, theirs = socket.socketpair()

    def answer() -> None:
        number = theirs.recv(100).split()[1].decode()
        for character in f"ping {number}\r\npong-{number}\r\n":
            theirs.sendall(character.encode())
            time.sleep(0.005)

    with ours, theirs:
        thread = threading.Thread(target=answer)
        thread.start()
        assert Console(ours).ping(10)
        thread.join()
