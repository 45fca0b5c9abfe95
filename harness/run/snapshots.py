# SPDX-License-Identifier: GPL-2.0-only
"""
The snapshots that guests go on from, in the cache.

A guest is snapshotted once it has introduced itself, with the modules loaded and nothing
played.  A clone proves itself before anything that it says counts; if it does not, the
snapshot is discarded and the guest is booted.  With the question it gets a seed, so that what
it draws at random from then on is its own; clones share what the kernel had drawn before, such
as its canaries.  What has to be secret, such as a host key, is made after that.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec

from harness import resources
from harness.errors import HarnessError, UnfitEmulator
from harness.guest.records import Proof
from harness.host import cache, inventory
from harness.kernel import image
from harness.run.session import Session
from harness.steps import LOG, notice
from harness.vm import snapshot
from harness.vm.machine import Machine, Memory
from harness.vm.running import emulator
from harness.vm.snapshot import Snapshot, SnapshotError

KIND = "snapshots"
# Each takes some 75 MB, and much more on a kernel that needs more memory.
KEPT, KEPT_BYTES = 24, 4 << 30
# Our own sources that decide on a snapshot, besides those that go into the initrd.
MAKERS = ("run/snapshots.py", "vm/snapshot.py", "vm/machine.py", "kernel/image.py")
_MEMORY, _DEVICES, _OPENING, _EXPECTED = "memory", "devices", "opening", "expected.json"
_STUB = "stub"
# Of the seed for a clone's random numbers; the kernel's own generator has a key of as many.
_SEED_BYTES = 32
# Starts a guest on a Machine, with logged=False without its logs; it ends with the context.
Start = Callable[..., AbstractContextManager[Session]]


class _Expected(msgspec.Struct, frozen=True):
    """What a clone has to say of itself."""

    release: str
    # Of the kernel, in hexadecimal; empty for a kernel without one.
    build_id: str
    # The lines that it has played, none of which was a case.
    played: int
    # How long it took to boot.
    boot_seconds: float


def resume(
    machine: Machine, initrd: bytes, start: Start, resources: ExitStack, *, secret: bool = False
) -> Session | None:
    """
    Return a clone of a guest that waits for a plan; it ends with `resources`.

    With `secret`, nobody else may know what it draws at random.
    Where there is no snapshot, one is made.  Returns None, with a sentence on standard error,
    where that is not possible or where the clone is not what it has to be; the caller boots
    the guest then, and sees what is wrong with it.
    """
    try:
        folder = _entry(machine, initrd, start, secret)
    except UnfitEmulator:
        raise
    except (HarnessError, OSError) as error:
        _report(f"no snapshot: {_sentence(error)}")
        return None
    try:
        with ExitStack() as tried:
            tried.enter_context(cache.using(folder))
            clone = replace(machine, memory=Memory(folder / _MEMORY, folder / _STUB))
            session = tried.enter_context(start(clone))
            snapshot.load(session.machine, Snapshot(folder / _MEMORY, folder / _DEVICES))
            expected = msgspec.json.decode((folder / _EXPECTED).read_bytes(), type=_Expected)
            session.deadlines = session.deadlines.on(expected.boot_seconds)
            session.resumed((folder / _OPENING).read_bytes(), expected.played)
            _prove(session, expected, secret)
            resources.push(tried.pop_all())
            return session
    except UnfitEmulator:
        raise
    except (HarnessError, OSError) as error:
        _report(f"the snapshot is discarded: {_sentence(error)}")
    with contextlib.suppress(HarnessError):
        cache.discard(folder)
    return None


def _sentence(error: HarnessError | OSError) -> str:
    return error.sentence if isinstance(error, HarnessError) else f"{error}."


def _report(sentence: str) -> None:
    LOG.info("%s", sentence)
    notice(f"{sentence}  The guest is booted.")


def _entry(machine: Machine, initrd: bytes, start: Start, secret: bool) -> Path:
    """Return the folder of a snapshot, which is taken if it does not exist."""

    def make(folder: Path) -> None:
        # Others must not read what is in the guest's memory.
        for name in (_MEMORY, _DEVICES):
            (folder / name).touch(mode=0o600)
        began = time.monotonic()
        with ExitStack() as ends:
            memory = ends.enter_context(snapshot.memory(machine.config.memory_mib << 20))
            booted = replace(machine, memory=Memory(snapshot.path(memory)))
            session = ends.enter_context(start(booted, logged=False))
            release = session.introduce().release
            seconds = time.monotonic() - began
            # From then on it reads plans.
            _check_renewal(_asked(session, "-"), secret)
            build = image.build_id(machine.kernel)
            expected = _Expected(release, build, session.played, seconds)
            session.hear_out()
            if session.console.watcher.splats:
                # A clone would not print it again.
                raise SnapshotError("The kernel complained while it booted.")
            taken = Snapshot(folder / _MEMORY, folder / _DEVICES)
            snapshot.take(session.machine, memory, taken)
            (folder / _OPENING).write_bytes(session.opening)
        (folder / _EXPECTED).write_bytes(msgspec.json.encode(expected))
        (folder / _STUB).write_bytes(image.stub())

    qemu = emulator()
    key = cache.digest(
        inventory.look(qemu.stat()),
        cache.content(machine.kernel),
        repr(machine.config),
        initrd,
        *resources.own_sources(MAKERS),
    )
    if not cache.has(KIND, key):
        cache.trim(KIND, KEPT - 1, unused_seconds=0, size=KEPT_BYTES)
    return cache.used(cache.entry(KIND, key, make, large=(_MEMORY,)))


def _asked(session: Session, nonce: str) -> Proof:
    """
    Have a guest set its clock, take a seed for its random numbers, and say what it is.

    Raises SnapshotError, or as await_record().
    """
    session.recording = False
    session.play([f"? {nonce} {int(time.time())} {secrets.token_hex(_SEED_BYTES)}"])
    proof = session.await_record(session.deadlines.play)
    session.recording = True
    if not isinstance(proof, Proof):
        raise SnapshotError("The guest answered something else.")
    return proof


def _check_renewal(proof: Proof, secret: bool) -> None:
    if secret and not proof.reseeded:
        raise SnapshotError("The kernel does not renew its random numbers at once.")


def _prove(session: Session, expected: _Expected, secret: bool) -> None:
    """Raise SnapshotError unless the guest is fresh, and its kernel is the one that is expected."""
    nonce = secrets.token_hex(8)
    proof = _asked(session, nonce)
    said = (proof.line.split()[1], proof.release, proof.seq)
    wanted = (nonce, expected.release, expected.played + 1)
    if said != wanted:
        raise SnapshotError(f"The clone says {said}, not {wanted}.")
    if bytes.fromhex(expected.build_id) not in proof.notes:
        raise SnapshotError("The clone runs another build of the kernel.")
    _check_renewal(proof, secret)
