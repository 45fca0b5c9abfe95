# SPDX-License-Identifier: GPL-2.0-only
"""
Nightly runs whose processes are killed at random: they end as any other.

JPROBE_SHOTS is the number of kills, JPROBE_SEED the seed that they are drawn from.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.errors import Exit
from harness.nightly.store import Store
from tests.nightly.dask_cluster import Cluster
from tests.nightly.test_night import children, command, play, stripped, written

SHOTS = int(os.environ.get("JPROBE_SHOTS", "8"))
SEED = int(os.environ.get("JPROBE_SEED", "1"))
SECONDS = 300
REPETITIONS = 4
# Within which a shot falls: such a nightly run takes about as long.
NIGHT_SECONDS = 10.0
VICTIMS = ("nightly", "unit", "QEMU", "worker", "scheduler")


def named(pids: Iterator[int]) -> dict[str, list[int]]:
    """Return the PIDs of units of work and of QEMUs among `pids`."""
    found: dict[str, list[int]] = {"unit": [], "QEMU": []}
    for pid in pids:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[0] == b"qemu-system-aarch64":
                found["QEMU"].append(pid)
            elif b"harness.nightly.worker" in words and b"setpriv" not in words[0]:
                found["unit"].append(pid)
    return found


def shoot(
    night: subprocess.Popen[bytes], cluster: Cluster | None, dice: random.Random, hits: Counter[str]
) -> bool:
    """Kill the sort that was hit least, if any; return whether the run was still at work."""
    with suppress(subprocess.TimeoutExpired):
        night.wait(dice.uniform(0, NIGHT_SECONDS))
        return False
    roots = [night.pid, *(worker.pid for worker in (cluster.workers if cluster else ()))]
    victims = named(pid for root in roots for pid in children(root))
    victims["nightly"] = [night.pid]
    if cluster:
        victims["worker"] = [worker.pid for worker in cluster.workers]
        victims["scheduler"] = [cluster.scheduler.pid]
    there = [name for name in VICTIMS if victims.get(name)]
    least = min(hits[name] for name in there)
    name = dice.choice([name for name in there if hits[name] == least])
    victim = dice.choice(victims[name])
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
        hits[name] += 1
    for process in (cluster.scheduler, *cluster.workers) if cluster else ():
        if process.pid == victim:
            process.wait(SECONDS)
    return True


@pytest.mark.full
def test_a_night_that_is_shot_at_ends_as_any_other(tmp_path: Path) -> None:
    print(f"JPROBE_SHOTS={SHOTS} JPROBE_SEED={SEED}")
    file = written(tmp_path, kernels=["debian:6.1"], repetitions=REPETITIONS)
    quiet, shot = (f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("quiet", "shot"))
    status, reported, _ = play(file, quiet)
    assert status == Exit.AGREES, reported
    dice = random.Random(SEED)
    hits: Counter[str] = Counter()
    words: list[str] = []
    with Cluster(tmp_path) as cluster:
        while hits.total() < SHOTS or set(hits) != set(VICTIMS):
            # The cluster is used twice as often, as it has more processes to kill.
            there = dice.choice([True, True, False])
            where = ["--cluster", cluster.address] if there else []
            with subprocess.Popen(
                command(file, shot, *words, *where),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as night:
                while shoot(night, cluster if there else None, dice, hits):
                    cluster.revive()
                night.wait(SECONDS)
            cluster.revive()
            with Store(shot) as store:
                # There is no run if it was killed before it began.
                left = any(len(store.stored(one)) < REPETITIONS for one in store.nights())
            words = ["--resume"] if left else []
    if words:
        status, reported, _ = play(file, shot, *words)
        assert status == Exit.AGREES, reported
    print(dict(hits))
    with Store(quiet) as store:
        (only,) = store.nights()
        expected = stripped(store.results(only, looks=True))
    with Store(shot) as store:
        assert store.nights()
        for one in store.nights():
            assert stripped(store.results(one, looks=True)) == expected
