# SPDX-License-Identifier: GPL-2.0-only
"""
A stand-in for QEMU, which sends on the guest's two lines what a script says, and ends as it says.

Run as `-m tests.faults.emulator SCRIPT QEMU ARGUMENT...`. A command line that boots no guest
is passed to the real QEMU, and no snapshot is taken. In boots after the script's, the recorded
answer to each line of the plan is sent again.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TypedDict

from tests.records import numbered


class Script(TypedDict):
    """What a number of boots have in common."""

    boots: int
    steps: list[Step]
    # What a sound boot sent, in hexadecimal: its introduction, and a record by line of the plan.
    introduction: str
    records: dict[str, str]


class Step(TypedDict):
    """Something that the guest, or its QEMU, does."""

    # "console" or "records", with what is sent there, in hexadecimal;
    # "flood" with the same, without end; "say" on QEMU's own standard error;
    # "wait" until QEMU is ended; "signal" with a number; "exit" with a status;
    # "qmp" to answer QMP from then on, with the guest's state.
    do: str
    line: str
    data: str
    number: int


def connect(words: list[str], name: str) -> socket.socket:
    """One of the sockets that QEMU inherits."""
    pattern = rf"socket,id={name},fd=(\d+).*"
    (number,) = (match[1] for word in words if (match := re.fullmatch(pattern, word)))
    return socket.socket(fileno=int(number))


def _say(client: socket.socket, message: object) -> None:
    client.sendall(json.dumps(message).encode() + b"\n")


GREETING: dict[str, object] = {"QMP": {"version": {}, "capabilities": []}}


def greet(words: list[str]) -> socket.socket:
    """Greet the first client of QMP, as QEMU does once it has made the machine."""
    listener = connect(words, "qmp")
    client, _ = listener.accept()
    with client:
        _say(client, GREETING)
    return listener


def serve_qmp(listener: socket.socket, state: str = "running") -> None:
    """Answer whatever QMP is asked, in a thread of its own: the guest is in `state`."""

    def answer() -> None:
        results: dict[str, object] = {
            "query-status": {"status": state},
            "human-monitor-command": "",
        }
        while True:
            client, _ = listener.accept()
            _say(client, GREETING)
            # A client waits for each answer, and ends no message with a newline.
            while text := client.recv(1 << 16):
                asked = json.loads(text)
                name = {"id": asked["id"]} if "id" in asked else {}
                _say(client, {"return": results.get(asked["execute"], {}), **name})

    threading.Thread(target=answer, daemon=True).start()


def _drain(connections: dict[str, socket.socket]) -> None:
    """Close the guest's side of the lines, so that all that was sent arrives."""
    for connection in connections.values():
        connection.shutdown(socket.SHUT_WR)


def _is_due(path: Path, boots: int) -> bool:
    """Count this boot, and return whether it is one of the script's."""
    with path.with_suffix(".boots").open("a+b") as file:
        file.write(b".")
        return file.tell() <= boots


def _say_again(script: Script, words: list[str]) -> None:
    """Introduce the guest, and answer each line of the plan with its record."""
    connections = {name: connect(words, name) for name in ("console", "records")}
    greet(words).close()
    channel = connections["records"]
    channel.sendall(bytes.fromhex(script["introduction"]))
    number = 0
    for text in channel.makefile():
        match text.strip():
            case "stream":
                pass
            case ".":
                channel.sendall(b"stream ended=1\n")
            case "!" | "off":
                break
            case line:
                number += 1
                channel.sendall(numbered(bytes.fromhex(script["records"][line]), number))
    connections["console"].sendall(b"reboot: Power down\n")
    _drain(connections)


def _play(steps: list[Step], words: list[str]) -> None:
    connections = {name: connect(words, name) for name in ("console", "records")}
    listener = greet(words)
    if not any(step["do"] == "qmp" for step in steps):
        # Nobody answers any more.
        listener.close()
    for step in steps:
        data = bytes.fromhex(step["data"])
        match step["do"]:
            case "send":
                connections[step["line"]].sendall(data)
            case "flood":
                while True:
                    connections[step["line"]].sendall(data)
            case "say":
                os.write(2, data)
            case "qmp":
                serve_qmp(listener, data.decode())
            case "wait":
                signal.pause()
            case "signal":
                os.kill(os.getpid(), step["number"])
            case "exit":
                _drain(connections)
                sys.exit(step["number"])


if __name__ == "__main__":
    path, qemu, *arguments = sys.argv[1:]
    script: Script = json.loads(Path(path).read_text())
    if "-kernel" not in arguments:
        os.execv(qemu, [qemu, *arguments])
    elif "memory-backend=memory" in arguments:
        sys.exit("This stand-in takes no snapshots.")
    elif _is_due(Path(path), script["boots"]):
        _play(script["steps"], arguments)
    else:
        _say_again(script, arguments)
