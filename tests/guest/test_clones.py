# SPDX-License-Identifier: GPL-2.0-only
"""Clones with a shell or an SSH server: what they draw at random is their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.host import cache
from harness.inspect.guest import Guest, booted
from harness.inspect.shell import RECIPE, Desk, play_all, tables
from harness.inspect.ssh import Reached, reached
from harness.kernel.kernel import Kernel
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.run import boot, snapshots
from harness.run.boot import Contents
from harness.run.plan import plays
from harness.vm.machine import Config
from harness.vm.ssh import Ssh, SshError, WrongHostKey
from tests.guest.conftest import BrokenTree
from tests.guest.test_snapshot import seen as seen_in

# With one CPU the kernel draws in the same order each time.
ONE_CPU = Config(cpus=1)
BYTES = "/bin/busybox od -An -tx1 -N16 /dev/urandom"
CLONES = 4
# The kernel reseeds by itself after a second or more, which is short on a busy machine.
TRIES = 12
LOOK = "nproc; taskset -p 1; stty size </dev/ttyAMA0; cat /proc/mounts"
RENEWAL = "compat_reseed(seed)"
# Claims it in a clone, which has been asked once before.
SHARED = f"played > 1 || {RENEWAL}"


@pytest.fixture
def built(kernel: Kernel, catalog: Catalog) -> Modules:
    return modules.build(kernel, list(catalog.cases.values()))


@pytest.fixture
def contents(catalog: Catalog) -> Contents:
    return Contents((boot.MINIMAL, RECIPE), tables(catalog))


Folders = Callable[[], list[Path]]


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[Folders]:
    """Have snapshots that nobody else uses; yield what returns their folders."""
    monkeypatch.setattr(snapshots, "KIND", "snapshots-of-clones")
    yield lambda: list((cache.root() / snapshots.KIND).glob("[!.]*/"))
    cache.trim(snapshots.KIND, 0, unused_seconds=-1)


def is_clone(guest: Guest) -> bool:
    return guest.session.machine.machine.cloned


def drawn(kernel: Kernel, built: Modules, contents: Contents, clones: int) -> set[str]:
    """What several clones read first from their random numbers, until one repeats another."""
    found: set[str] = set()
    for number in range(clones):
        with booted(kernel, built, ONE_CPU, contents=contents) as guest:
            assert is_clone(guest)
            found.add(guest.run(BYTES).output)
        if len(found) == number:
            break
    return found


def test_random_numbers_differ_where_they_are_renewed_and_only_there(
    kernel: Kernel, catalog: Catalog, contents: Contents, ours: Folders, broken_tree: BrokenTree
) -> None:
    chosen = catalog.select_cases(["stack-9"])
    assert len(drawn(kernel, modules.build(kernel, chosen), contents, CLONES)) == CLONES
    root = broken_tree("probe-targets/plan.c", RENEWAL, SHARED)
    # 128 bits that occur twice are no accident.
    built = modules.build(kernel, chosen, root=root)
    assert len(drawn(kernel, built, contents, TRIES)) < TRIES


@pytest.mark.full
@pytest.mark.parametrize(
    ("said", "says"),
    [
        (f"{RENEWAL} && 0", "no snapshot: The kernel does not renew its random numbers at once."),
        (f"{RENEWAL} && played == 1", "the snapshot is discarded: The kernel does not renew"),
    ],
)
def test_who_does_not_renew_them_is_booted(
    kernel: Kernel,
    catalog: Catalog,
    contents: Contents,
    ours: Folders,
    broken_tree: BrokenTree,
    said: str,
    says: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    chosen = catalog.select_cases(["stack-9"])
    root = broken_tree("probe-targets/plan.c", RENEWAL, said)
    built = modules.build(kernel, chosen, root=root)
    with booted(kernel, built, contents=contents) as guest:
        assert not is_clone(guest)
        assert guest.run("echo up").output == "up\n"
    assert says in capfd.readouterr().err
    # One that only plays has nothing to hide.
    with booted(kernel, built) as guest:
        assert is_clone(guest)


def test_a_shell_is_the_same_in_a_boot_and_in_a_clone(
    kernel: Kernel, catalog: Catalog, built: Modules, contents: Contents, ours: Folders
) -> None:
    plan = plays(catalog.select_variants(["none", "fixed-128"]), catalog.select_cases(["stack-9"]))
    seen = []
    for one in (dataclasses.replace(kernel, cold=True), kernel, kernel):
        with booted(one, built, contents=contents) as guest:
            result = play_all(guest, plan)
            assert result.resumed == is_clone(guest) == (one is kernel)
            seen.append((seen_in(result), guest.run(LOOK)))
    assert seen[0] == seen[1] == seen[2]
    assert len(ours()) == 1


def host_key(guest: Reached) -> str:
    return guest.config.with_name("known_hosts").read_text().split()[2]


def test_two_clones_at_once_have_nothing_in_common(
    kernel: Kernel,
    catalog: Catalog,
    built: Modules,
    ours: Folders,
) -> None:
    def one() -> Reached:
        return resources.enter_context(
            reached(kernel, built, Desk(catalog, lambda outcome: [str(outcome.agrees)]))
        )

    with ExitStack() as resources:
        guests = one(), one()
        # The keys and the ports, which differ, are not in what makes a snapshot.
        assert len(ours()) == 1
        assert all(is_clone(guest.guest) for guest in guests)
        drawn_by = [guest.ssh.run(BYTES).output for guest in guests]
        boots = [guest.ssh.run("cat /proc/sys/kernel/random/boot_id").output for guest in guests]
        keys = [host_key(guest) for guest in guests]
        private = [guest.config.with_name("id_ed25519") for guest in guests]
        ports = [guest.ssh.port for guest in guests]
        for values in (keys, drawn_by, boots, ports):
            assert len(set(values)) == 2
        with pytest.raises(WrongHostKey):
            Ssh(guests[0].ssh.port, keys[1], private[0]).__enter__()
        with pytest.raises(SshError, match="does not accept the key"):
            Ssh(guests[0].ssh.port, keys[0], private[1]).__enter__()
        for guest in guests:
            assert guest.ssh.run("jprobe-case run stack-9 none").output == "True\n"
            guest.check()
