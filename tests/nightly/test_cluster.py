# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run on the workers of a real Dask scheduler, of which some are killed."""

from __future__ import annotations

import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from distributed import Client

from harness.errors import Exit
from harness.nightly.store import Store
from tests.nightly.dask_cluster import WORKERS, Cluster
from tests.nightly.test_night import children, command, play, stripped, written

SECONDS = 60
REPETITIONS = 4


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as running:
        yield running


def test_a_worker_that_dies_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    address, (victim, other) = cluster.address, cluster.workers
    file = written(tmp_path, kernels=["debian:6.1"], repetitions=REPETITIONS)
    here, there = (f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("here", "there"))
    assert play(file, here)[0] == Exit.AGREES
    with subprocess.Popen(
        command(file, there, "--cluster", address), stdout=subprocess.PIPE, text=True
    ) as night:
        # The worker has a unit as soon as it has a child process.
        deadline = time.monotonic() + SECONDS
        while not list(children(victim.pid)) and time.monotonic() < deadline:
            assert night.poll() is None
            select.select([], [], [], 0.01)
        work = list(children(victim.pid))
        ends = [os.pidfd_open(pid) for pid in work]
        os.kill(victim.pid, signal.SIGKILL)
        reported, _ = night.communicate(timeout=SECONDS * REPETITIONS)
    assert work
    assert night.returncode == Exit.AGREES, reported
    # What it had at work ended with it, and was done elsewhere, once.
    assert all(select.select([end], [], [], 10)[0] for end in ends)
    for end in ends:
        os.close(end)
    assert other.poll() is None
    with Store(here) as one, Store(there) as two:
        expected, found = (stripped(s.results(s.nights()[0], looks=True)) for s in (one, two))
    assert len(found) == REPETITIONS
    assert found == expected


@pytest.mark.full
def test_workers_see_the_same_signatures(cluster: Cluster) -> None:
    words = [
        *("jprobe-harness", "fuzz", "--kernel", "debian:6.1", "--seed", "7", "--count", "200"),
        *("--compiled", "0", "--json", "-"),
    ]

    def digest(done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == Exit.AGREES, done.stderr
        return str(json.loads(done.stdout)["digest"])

    with Client(cluster.address) as client:
        workers = list(client.scheduler_info()["workers"])
        assert len(workers) == WORKERS
        run = functools.partial(subprocess.run, words, capture_output=True, text=True)
        played = [client.submit(run, workers=[worker], pure=False) for worker in workers]
        found = {digest(one.result(SECONDS)) for one in played}
    assert found == {digest(run())}


def test_a_worker_without_an_archive(tmp_path: Path) -> None:
    """The worker has QEMU and an empty cache; what it boots is sent to it once."""
    programs, cache = tmp_path / "bin", tmp_path / "cache"
    programs.mkdir()
    for name in ("qemu-system-aarch64", "setpriv"):
        (programs / name).symlink_to(str(shutil.which(name)))
    python = Path(sys.executable).parent
    environment = {"PATH": f"{python}:{programs}", "HOME": "/root", "XDG_CACHE_HOME": str(cache)}
    more = {"cost": {"growth": 2}, "survey": True, "tracers": ["fexit", "kprobe"]}
    file = written(tmp_path, kernels=["debian:6.12"], repetitions=2, **more)
    here, there = (f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("here", "there"))
    assert play(file, here)[0] == Exit.AGREES
    with Cluster(tmp_path, workers=1, environment=environment) as cluster:
        status, reported, _ = play(file, there, "--cluster", cluster.address)
        assert status == Exit.AGREES, reported
        blobs = {path: path.stat().st_mtime_ns for path in cache.rglob("blobs/*/blob")}
        assert len(blobs) >= len(("Image", "config", "busybox", "two modules", "kept", "compiler"))
        # Nothing was fetched or built there.
        kinds = {path.name for path in (cache / "jprobe-harness").iterdir() if path.is_dir()}
        assert kinds == {"blobs", "contents", "bundles", "initramfs", "snapshots", "catalogs"}
        status, reported, _ = play(file, there, "--cluster", cluster.address)
        assert status == Exit.AGREES, reported
        assert blobs == {path: path.stat().st_mtime_ns for path in cache.rglob("blobs/*/blob")}
    with Store(here) as one, Store(there) as two:
        expected, *found = (
            stripped(store.results(night, looks=True))
            for store in (one, two)
            for night in store.nights()
        )
    assert found == [expected, expected]


@pytest.mark.full
def test_a_scheduler_that_dies_costs_what_was_at_work(cluster: Cluster, tmp_path: Path) -> None:
    address, scheduler, worker = cluster.address, cluster.scheduler, cluster.workers[0]
    file = written(tmp_path, kernels=["debian:6.1"], repetitions=REPETITIONS)
    url = f"sqlite:///{tmp_path}/history.sqlite"
    with subprocess.Popen(command(file, url, "--cluster", address)) as night:
        deadline = time.monotonic() + SECONDS
        while not list(children(worker.pid)) and time.monotonic() < deadline:
            assert night.poll() is None
            select.select([], [], [], 0.01)
        scheduler.kill()
        assert night.wait(SECONDS * REPETITIONS) == Exit.INFRASTRUCTURE
    status, reported, document = play(file, url, "--resume")
    assert (status, document["complete"]) == (Exit.AGREES, True), reported
    with Store(url) as store:
        (only,) = store.nights()
        assert len(store.stored(only)) == REPETITIONS


def units(worker: int) -> list[int]:
    """A worker's units; one that is not what it will be yet holds its worker up (vfork(2))."""
    found = []
    for pid in children(worker):
        # It may have ended meanwhile.
        with suppress(OSError):
            if b"harness.nightly.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def test_a_nightly_run_that_is_ended_ends_its_units(cluster: Cluster, tmp_path: Path) -> None:
    worker = cluster.workers[0]
    file = written(tmp_path, kernels=["debian:6.1"], repetitions=REPETITIONS)
    url = f"sqlite:///{tmp_path}/history.sqlite"
    words = command(file, url, "--cluster", cluster.address)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as night:
        deadline = time.monotonic() + SECONDS
        while not (work := units(worker.pid)) and time.monotonic() < deadline:
            assert night.poll() is None
            select.select([], [], [], 0.01)
        # Such a unit does not end by itself.
        os.kill(work[0], signal.SIGSTOP)
        unit = os.pidfd_open(work[0])
        night.send_signal(signal.SIGTERM)
        _, reported = night.communicate(timeout=SECONDS)
    assert night.returncode == Exit.INFRASTRUCTURE, reported
    assert "ended by SIGTERM" in reported
    assert select.select([unit], [], [], SECONDS)[0], "the unit is still at work"
    os.close(unit)


def test_no_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As long as one is waited for, of half a minute.
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    file, url = written(tmp_path), f"sqlite:///{tmp_path}/history.sqlite"
    status, reported, _ = play(file, url, "--cluster", "tcp://127.0.0.1:9")
    assert status == Exit.INFRASTRUCTURE
    assert "No scheduler answers at tcp://127.0.0.1:9" in reported
    status, reported, _ = play(file, url, "--cluster", "nonsense://x")
    assert status == Exit.INFRASTRUCTURE
    assert "Traceback" not in reported
