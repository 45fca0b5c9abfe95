# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's machine protocol (QMP), for the state of a guest that may not answer itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError

from harness.errors import InfrastructureError

SECONDS = 5
RUNNING = "running"
NOTHING: Mapping[str, object] = {}


async def _execute(
    path: Path, command: str, arguments: Mapping[str, object], seconds: float
) -> Any:
    client = QMPClient("jprobe-harness")
    async with asyncio.timeout(seconds):
        await client.connect(str(path))
        try:
            return await client.execute(command, dict(arguments))
        finally:
            await client.disconnect()


def execute(
    path: Path,
    command: str,
    arguments: Mapping[str, object] = NOTHING,
    *,
    seconds: float = SECONDS,
) -> Any:
    """
    Run one QMP command on the socket `path`, and return its result.

    Raises QMPError, OSError or TimeoutError.
    """
    return asyncio.run(_execute(path, command, arguments, seconds))


def forwarded_port(path: Path) -> int:
    """Return the host's port that QEMU forwards to the guest; raise InfrastructureError."""
    try:
        text = execute(path, "human-monitor-command", {"command-line": "info usernet"})
    except (QMPError, OSError, TimeoutError) as error:
        raise InfrastructureError(f"QEMU does not report the guest's port: {error}.") from error
    match = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", text)
    if match is None:
        raise InfrastructureError("QEMU forwards no port to the guest.")
    return int(match[1])


@dataclass(frozen=True)
class Standing:
    """The state of a guest, as QEMU reports it."""

    # RUNNING, unless QEMU itself has stopped the guest (QMP's RunState).
    state: str
    # The program counter of each CPU, as in "CPU 0 at ffff800008012345".
    counters: tuple[str, ...]


def standing(path: Path) -> Standing | None:
    """Return the guest's state, or None if QEMU does not answer."""
    try:
        state = execute(path, "query-status")["status"]
        text = execute(path, "human-monitor-command", {"command-line": "info registers -a"})
    except (QMPError, OSError, TimeoutError):
        return None
    counters = re.findall(r"\bPC=([0-9a-f]{16})", text)
    return Standing(state, tuple(f"CPU {cpu} at {counter}" for cpu, counter in enumerate(counters)))
