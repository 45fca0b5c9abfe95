# SPDX-License-Identifier: GPL-2.0-only
"""Guests that go on from a snapshot: the same verdicts, and a boot wherever one will not do."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.host import cache, inventory
from harness.inspect.guest import booted
from harness.inspect.witness import Witness
from harness.kernel.kernel import Kernel
from harness.measure import storm
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.run import repro, snapshots
from harness.run.observer import Observer
from harness.run.plan import Play, plays
from harness.run.result import Result
from harness.run.session import Session
from harness.vm import snapshot
from harness.vm.snapshot import Snapshot, SnapshotError
from tests.guest.conftest import Broken, names
from tests.guest.test_sabotage import DIES, FAULTS


@pytest.fixture
def built(kernel: Kernel, catalog: Catalog) -> Modules:
    return modules.build(kernel, list(catalog.cases.values()))


@pytest.fixture
def plan(catalog: Catalog) -> list[Play]:
    variants = catalog.select_variants(["none", "fixed-128", "thread-size"])
    return plays(variants, catalog.select_cases(["stack-9", "by-ref-24", "irq-stack-9"]))


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Path]]:
    """Have a snapshot that nobody else uses; yield what returns its folder."""
    monkeypatch.setattr(snapshots, "KIND", "snapshots-of-a-test")

    def folder() -> Path:
        (one,) = (cache.root() / snapshots.KIND).glob("[!.]*/")
        return one

    yield folder
    cache.trim(snapshots.KIND, 0, unused_seconds=-1)


def seen(result: Result) -> list[object]:
    """What was seen in each play, without addresses."""
    return [
        (str(o.play), o.damage, o.verdict and (o.verdict.corrupt, o.verdict.lost, o.verdict.label))
        for o in result.outcomes
    ]


@pytest.mark.parametrize("observer", [None, Witness()], ids=["alone", "witness"])
def test_a_clone_and_a_boot_see_the_same(
    observer: Observer | None, kernel: Kernel, built: Modules, plan: list[Play]
) -> None:
    cold = repro.run(dataclasses.replace(kernel, cold=True), built, plan, observer=observer)
    first, second = (repro.run(kernel, built, plan, observer=observer) for _ in range(2))
    assert (cold.resumed, first.resumed, second.resumed) == (0, 1, 1)
    assert cold.exit_status is first.exit_status is second.exit_status is Exit.AGREES
    assert seen(cold) == seen(first) == seen(second)


@pytest.mark.full
def test_a_storm_in_a_clone(kernel: Kernel, built: Modules, catalog: Catalog) -> None:
    variants = catalog.select_variants(["none", "fixed-128"])
    results = [
        # Long enough for CPUs that share this machine's to meet.
        storm.run(dataclasses.replace(kernel, cold=cold), built, variants, cpus=4, seconds=2)
        for cold in (True, False)
    ]
    assert [(result.boots, result.resumed) for result in results] == [(2, 0), (2, 2)]
    assert all(result.exit_status is Exit.AGREES for result in results)


def test_only_what_plays_is_kept_on_a_cpu(kernel: Kernel, built: Modules, plan: list[Play]) -> None:
    """A clone has been told to take a plan before it takes commands."""
    for one in (dataclasses.replace(kernel, cold=True), kernel):
        with booted(one, built) as guest:
            assert guest.play(plan[0].variant, plan[0].case).agrees
            assert guest.run("/bin/busybox taskset -p $$").output.endswith(": 3\n")


def test_after_a_death_the_next_guest_is_a_clone(broken: Broken) -> None:
    result = broken(
        "probe-targets/observe.c",
        "	play.handler_runs++;\n",
        FAULTS,
        cases=["stack-9", DIES, "stack-17"],
        variants=["none"],
    )
    assert names(result.differing) == {DIES}
    assert (result.boots, result.resumed, result.complete) == (2, 2, True)


def other_devices(folder: Path) -> None:
    """Have a file of devices that QEMU refuses, and an inventory that says nothing of it."""
    (folder / "devices").write_bytes(bytes(4096))
    inventory.write(folder, large=("memory",))


def another_guest(folder: Path) -> None:
    found = json.loads((folder / "expected.json").read_text())
    (folder / "expected.json").write_text(json.dumps({**found, "release": "6.1.0"}))
    inventory.write(folder, large=("memory",))


def another_build(folder: Path) -> None:
    found = json.loads((folder / "expected.json").read_text())
    (folder / "expected.json").write_text(json.dumps({**found, "build_id": "00" * 20}))
    inventory.write(folder, large=("memory",))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (other_devices, "the snapshot is discarded: QEMU"),
        (another_guest, "the snapshot is discarded: The clone says"),
        (another_build, "the snapshot is discarded: The clone runs another build"),
    ],
)
def test_a_snapshot_of_something_else_is_discarded(
    kernel: Kernel,
    built: Modules,
    plan: list[Play],
    ours: Callable[[], Path],
    spoil: Callable[[Path], None],
    says: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    repro.run(kernel, built, plan[:1])
    spoil(ours())
    result = repro.run(kernel, built, plan)
    assert says in capfd.readouterr().err
    assert (result.exit_status, result.resumed, result.boots) == (Exit.AGREES, 0, 1)
    # It was made anew.
    again = repro.run(kernel, built, plan)
    assert (again.exit_status, again.resumed) == (Exit.AGREES, 1)


def cut(folder: Path) -> None:
    with (folder / "devices").open("r+b") as file:
        file.truncate(1000)


def altered(folder: Path) -> None:
    with (folder / "memory").open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"\xff")


@pytest.mark.parametrize("spoil", [cut, altered])
def test_a_snapshot_that_was_changed_is_made_anew(
    kernel: Kernel,
    built: Modules,
    plan: list[Play],
    ours: Callable[[], Path],
    spoil: Callable[[Path], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    repro.run(kernel, built, plan[:1])
    spoil(ours())
    result = repro.run(kernel, built, plan)
    assert "is made anew" in capfd.readouterr().err
    assert (result.exit_status, result.resumed) == (Exit.AGREES, 1)


def test_a_guest_that_has_played_is_refused(
    kernel: Kernel,
    built: Modules,
    plan: list[Play],
    ours: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A snapshot that is taken too late has counters that are not zero."""
    take = snapshot.take

    def late(started: object, memory: int, taken: Snapshot) -> None:
        (session,) = sessions
        session.play([plan[0].line])
        session.await_record(30)
        take(session.machine, memory, taken)

    sessions: list[Session] = []
    introduce = Session.introduce

    def introduced(session: Session) -> object:
        sessions[:] = [session]
        return introduce(session)

    monkeypatch.setattr(Session, "introduce", introduced)
    monkeypatch.setattr(snapshot, "take", late)
    result = repro.run(kernel, built, plan)
    assert "the snapshot is discarded: The clone says" in capfd.readouterr().err
    assert (result.exit_status, result.resumed) == (Exit.AGREES, 0)


def test_a_qemu_that_takes_no_snapshots(
    kernel: Kernel,
    built: Modules,
    plan: list[Play],
    ours: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def take(started: object, memory: int, taken: Snapshot) -> None:
        raise SnapshotError("This one cannot.")

    monkeypatch.setattr(snapshot, "take", take)
    result = repro.run(kernel, built, plan)
    assert "no snapshot: This one cannot.  The guest is booted." in capfd.readouterr().err
    assert (result.exit_status, result.resumed) == (Exit.AGREES, 0)


def test_a_snapshot_is_private(
    kernel: Kernel, built: Modules, plan: list[Play], ours: Callable[[], Path]
) -> None:
    repro.run(kernel, built, plan[:1])
    modes = {name: (ours() / name).stat().st_mode & 0o777 for name in ("memory", "devices")}
    assert modes == {"memory": 0o600, "devices": 0o600}
