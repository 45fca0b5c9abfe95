# SPDX-License-Identifier: GPL-2.0-only
"""
Tries what may lead to a guest, and reports by door what it got: nothing, where it was refused.

Another user runs this file alone, so it imports only the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 10
# A debugger's first request: the registers.
ASK = b"+$g#67"


def read(file: str) -> str:
    with open(file, "rb") as opened:
        opened.read(1)
    return "read"


def append(file: str) -> str:
    with open(file, "ab"):
        return "written"


def create(folder: str) -> str:
    file = Path(folder, "intruder")
    file.touch(exist_ok=False)
    file.unlink()
    return "created"


def connect(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(path)
    return "connected"


def signal(pid: int) -> str:
    # Signal 0 only checks whether a signal could be sent.
    os.kill(pid, 0)
    return "signalled"


def ask(port: int, key: str) -> str:
    """Return the answer of a debugger's stub, or of a command by SSH."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as client:
        client.sendall(ASK)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = client.recv(100)
    return command(port, key) if answer.startswith(b"SSH-") else answer.decode("ascii")


def command(port: int, key: str) -> str:
    words = [
        "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
        "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i", key,
        "-p", str(port), "root@127.0.0.1", "uname -m",
    ]  # fmt: skip
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3 * SECONDS
    )
    print(done.stderr, file=sys.stderr)
    return done.stdout.strip()


def tried(attempt: Callable[..., str], *arguments: Any) -> str:
    try:
        return attempt(*arguments)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return ""


def main(doors: dict[str, Any]) -> dict[str, str]:
    attempts: dict[str, Callable[..., str]] = {
        "files": read, "written": append, "folders": create, "sockets": connect,
        "processes": signal,
    }  # fmt: skip
    got = {
        f"{attempt.__name__} {door}": tried(attempt, door)
        for kind, attempt in attempts.items()
        for door in doors[kind]
    }
    for port in doors["ports"]:
        got[f"ask port {port}"] = tried(ask, port, doors["key"])
    return got


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
