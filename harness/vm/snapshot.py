# SPDX-License-Identifier: GPL-2.0-only
"""
Snapshots of a guest: it boots once, and goes on from there as often as it is wanted.

A guest is stopped, and its memory and the state of its devices are written to two files;
QEMU leaves memory that is shared out of the latter (migration capability x-ignore-shared).
Each clone maps the file with the memory privately, so that none can change it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import MachineError
from harness.steps import step
from harness.vm.running import Running

if TYPE_CHECKING:
    from qemu.qmp import EventListener, QMPClient

# Stopping or loading a guest takes a fraction of a second on an idle machine.
SECONDS = 30
_CAPABILITIES = [{"capability": name, "state": True} for name in ("events", "x-ignore-shared")]
_CHUNK = 1 << 20


class SnapshotError(MachineError):
    """QEMU cannot take or load a snapshot; the guest can be booted all the same."""


@dataclass(frozen=True)
class Snapshot:
    """The files of a guest that was stopped."""

    memory: Path
    devices: Path


@contextmanager
def memory(size: int) -> Iterator[int]:
    """
    Make the memory, of `size` bytes, of a guest that is to be snapshotted; yield a descriptor.

    It is in no file system: what has to get to a disk makes a boot take a third longer.
    """
    descriptor = os.memfd_create("guest")
    try:
        os.truncate(descriptor, size)
        yield descriptor
    finally:
        os.close(descriptor)


def path(descriptor: int) -> Path:
    """Return where QEMU finds a file that this process has open."""
    return Path(f"/proc/{os.getpid()}/fd/{descriptor}")


def take(started: Running, memory: int, snapshot: Snapshot) -> None:
    """
    Stop a guest that has this memory, and write it and the state of the devices to files.

    It must not go on after that.  Raises SnapshotError, and OSError for the files.
    """
    import asyncio

    with step("take a snapshot"):
        with _explaining("cannot take a snapshot"):
            devices = asyncio.run(_taken(started))
        snapshot.devices.write_bytes(devices)
        _copy(memory, snapshot.memory)


def _copy(source: int, target: Path) -> None:
    """Copy a file, and leave out what was never written to."""
    with target.open("r+b") as file:
        file.truncate(os.fstat(source).st_size)
        for start, end in _written(source):
            file.seek(start)
            while start < end:
                start += os.sendfile(file.fileno(), source, start, end - start)


def _written(file: int) -> Iterator[tuple[int, int]]:
    """Yield where a file has data, each time its start and its end."""
    end = 0
    while True:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, end


def load(started: Running, snapshot: Snapshot) -> None:
    """Load a snapshot into a QEMU that waits for it, and let the guest go on; SnapshotError."""
    import asyncio

    with step("load a snapshot"), _explaining("cannot load a snapshot"):
        asyncio.run(_load(started, snapshot.devices.read_bytes()))


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    from qemu.qmp import QMPError

    try:
        yield
    except (QMPError, OSError, TimeoutError) as error:
        raise SnapshotError(f"QEMU {what}: {error or type(error).__name__}.") from error


@asynccontextmanager
async def _migrating(started: Running) -> AsyncIterator[tuple[QMPClient, EventListener]]:
    """Connect to QEMU's monitor, and have it report what becomes of a migration."""
    import asyncio

    from qemu.qmp import QMPClient

    client = QMPClient("jprobe-harness")
    async with asyncio.timeout(SECONDS):
        await client.connect(str(started.qmp))
        try:
            with client.listener("MIGRATION") as moves:
                await client.execute(
                    "migrate-set-capabilities", {"capabilities": list(_CAPABILITIES)}
                )
                yield client, moves
        finally:
            await client.disconnect()


async def _complete(moves: EventListener) -> None:
    async for event in moves:
        data = event["data"]
        status = data["status"] if isinstance(data, dict) else ""
        if status == "failed":
            raise SnapshotError("QEMU's migration failed.")
        if status == "completed":
            return


async def _taken(started: Running) -> bytes:
    import asyncio

    loop = asyncio.get_running_loop()
    path = started.qmp.with_name("migration")
    async with _migrating(started) as (client, moves):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.setblocking(False)
            listener.bind(str(path))
            listener.listen(1)
            await client.execute("stop")
            await client.execute("migrate", {"uri": f"unix:{path}"})
            stream, _ = await loop.sock_accept(listener)
        parts = []
        with stream:
            stream.setblocking(False)
            while part := await loop.sock_recv(stream, _CHUNK):
                parts.append(part)
        await _complete(moves)
    return b"".join(parts)


async def _load(started: Running, devices: bytes) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    path = started.qmp.with_name("migration")
    async with _migrating(started) as (client, moves):
        await client.execute("migrate-incoming", {"uri": f"unix:{path}"})
        with socket.socket(socket.AF_UNIX) as stream:
            stream.setblocking(False)
            await loop.sock_connect(stream, str(path))
            await loop.sock_sendall(stream, devices)
        await _complete(moves)
        await client.execute("cont")
