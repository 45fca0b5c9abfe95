# SPDX-License-Identifier: GPL-2.0-only
"""Whoever does a nightly run's units: threads here, or the workers of a Dask scheduler."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from harness.errors import ConfigError, HarnessError, InfrastructureError
from harness.host.deadline import Deadline
from harness.nightly import bundle
from harness.nightly.bundle import Packed
from harness.nightly.unit import Done, Unit, UnitKind
from harness.nightly.unit_runner import failed, packed
from harness.nightly.worker import WANTED

if TYPE_CHECKING:
    from distributed import Client

# Tries of a unit whose worker was lost.
RETRIES = 2
# How often a unit's files may be lost with the worker that held them.
LOST = 3
# How many units are submitted at once, and so the most workers that can be used.
AT_ONCE = 256
# How long fetching a file may take, and how often to ask whether a worker still has it.
FETCH_SECONDS, ASK_SECONDS = 300, 5
# What a unit's bundles depend on: kernel, compiler, kind and variants.
_Key = tuple[str | UnitKind, ...]


class Sender(Executor):
    """Sends units, and the kernels that they run on, to a scheduler's workers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(AT_ONCE)
        self._packing: dict[_Key, threading.Lock] = {}
        self._packed: dict[_Key, list[Packed]] = {}
        # How many units need a file, by digest.
        self._users: Counter[str] = Counter()
        self._lock = threading.Lock()

    # Nothing but units: a nightly run submits nothing else.
    def submit(  # type: ignore[override]
        self, function: Callable[[Unit], Done], unit: Unit
    ) -> Future[Done]:
        return self._threads.submit(self._send, function, unit)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait, cancel_futures=cancel_futures)

    def _send(self, function: Callable[[Unit], Done], unit: Unit) -> Done:
        started = time.time()
        try:
            images = self._pack(unit)
        except HarnessError as error:
            return failed(unit, error, started)
        sources = {digest: path for _, files in images for digest, path in files.items()}
        sent = replace(unit, bundles=[one for one, _ in images])
        with self._held(sources):
            return self._played(function, sent, sources)

    def _played(
        self, function: Callable[[Unit], Done], unit: Unit, sources: Mapping[str, Path]
    ) -> Done:
        """Run a unit on a worker; raises InfrastructureError."""
        for _ in range(LOST):
            # The same unit of another nightly run is not the same: nothing is taken from a memory.
            task = self._client.submit(_work, function, unit, pure=False, retries=RETRIES)
            try:
                done: Done = task.result()
                return done
            except LostFileError as error:
                self._give(error.digest, sources[error.digest])
            except CancelledError as error:
                raise InfrastructureError(
                    "The scheduler is gone.", "Continue with --resume."
                ) from error
        raise InfrastructureError("The workers lose the files they hold.", "Check their memory.")

    def _pack(self, unit: Unit) -> list[Packed]:
        """Return the bundles of a unit, made once for all units that need the same."""
        key: _Key = (unit.kernel, unit.compiler, unit.kind, *unit.variants)
        with self._lock:
            packing = self._packing.setdefault(key, threading.Lock())
        with packing:
            if key not in self._packed:
                self._packed[key] = packed(unit)
            return self._packed[key]

    @contextmanager
    def _held(self, sources: Mapping[str, Path]) -> Iterator[None]:
        """Keep files on some worker, for those that lack them, while a unit needs them."""
        with self._lock:
            new = [digest for digest in sources if not self._users[digest]]
            self._users.update(sources.keys())
            for digest in new:
                self._give(digest, sources[digest])
        try:
            yield
        finally:
            with self._lock:
                self._users.subtract(sources.keys())
                unused = [digest for digest in sources if not self._users[digest]]
                for digest in unused if self._client.status == "running" else ():
                    self._client.unpublish_dataset(_key(digest))

    def _give(self, digest: str, path: Path) -> None:
        held = self._client.scatter(path.read_bytes(), hash=False)
        self._client.publish_dataset(**{_key(digest): held}, override=True)


class LostFileError(Exception):
    """The worker that held a file is gone."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest


def _key(digest: str) -> str:
    return f"jprobe-{digest}"


def _work(function: Callable[[Unit], Done], unit: Unit) -> Done:
    """Fetch the files that this worker's machine lacks, and run the unit."""
    started = time.time()
    try:
        for one in unit.bundles:
            for digest in bundle.lacks(one):
                bundle.keep(digest, _fetch(digest))
    except HarnessError as error:
        return failed(unit, error, started)
    token = WANTED.set(_is_wanted)
    try:
        return function(unit)
    finally:
        WANTED.reset(token)


def _is_wanted() -> bool:
    """Return whether the client that submitted this thread's task still waits for it."""
    from distributed import get_worker

    try:
        worker = get_worker()
        task = worker.state.tasks.get(worker.get_current_task())
    except ValueError:
        # This thread runs no task.
        return True
    return task is not None and task.state != "cancelled"


def _fetch(digest: str) -> bytes:
    from distributed import get_client

    deadline = Deadline(FETCH_SECONDS)
    try:
        client = get_client()
        held = client.get_dataset(_key(digest))
        while True:
            try:
                data: bytes = held.result(ASK_SECONDS)
                return data
            except TimeoutError:
                # What was lost as it was sent is waited for by Dask for ever.
                if deadline.passed or not any(client.who_has([held]).values()):
                    raise
    except (OSError, CancelledError, KeyError) as error:
        raise LostFileError(digest) from error


@contextmanager
def executor(address: str | None, jobs: int) -> Iterator[Executor]:
    """
    Yield an executor that runs `jobs` units at once here, or one that uses a scheduler.

    Each unit is a process of its own in either case.  Raises ConfigError if Dask is not
    installed, InfrastructureError if no scheduler answers.
    """
    if address is None:
        with ThreadPoolExecutor(jobs) as threads:
            yield threads
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError(
            "--cluster needs Dask's distributed, which is not installed.",
            "Install it: pip install 'jprobe-harness[cluster]'",
        ) from error
    try:
        client = Client(address)
    except (OSError, ValueError) as error:
        raise InfrastructureError(
            f"No scheduler answers at {address}: {error}.", "Start one: dask scheduler"
        ) from error
    # Close the client first, so that the sender's threads stop waiting.
    with Sender(client) as sender, client:
        yield sender
