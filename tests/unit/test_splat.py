# SPDX-License-Identifier: GPL-2.0-only
"""Console logs of guests that tests/guest/fault really broke."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guest.splat import SplatKind, Watcher, scan

LOGS = Path(__file__).parent / "data/console"


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text()


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("panic", [SplatKind.PANIC]),
        ("oops", [SplatKind.OOPS, SplatKind.PANIC]),
        ("bug", [SplatKind.BUG, SplatKind.PANIC]),
        # busybox's insmod tries twice.
        ("warning", [SplatKind.WARNING, SplatKind.WARNING]),
        ("soft-lockup", [SplatKind.SOFT_LOCKUP, SplatKind.RCU_STALL, SplatKind.SOFT_LOCKUP]),
        ("hung-task", [SplatKind.HUNG_TASK]),
    ],
)
def test_real_crashes(name: str, kinds: list[SplatKind]) -> None:
    splats = scan(log(name).splitlines())
    assert [splat.kind for splat in splats] == kinds
    assert all(len(splat.lines) > 4 for splat in splats)


def test_a_fatal_one_is_a_death() -> None:
    for name, dead in (("panic", True), ("oops", True), ("bug", True), ("warning", False)):
        watcher = Watcher()
        watcher.feed(log(name))
        assert (watcher.dead is not None) == dead


def test_a_healthy_boot_has_none() -> None:
    boot = log("panic").split("Kernel panic")[0]
    assert scan(boot.splitlines()[:-1]) == []


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("WARNING: possible circular locking dependency detected", SplatKind.LOCKDEP),
        ("WARNING: possible recursive locking detected", SplatKind.LOCKDEP),
        ("WARNING: inconsistent lock state", SplatKind.LOCKDEP),
        ("WARNING: suspicious RCU usage", SplatKind.LOCKDEP),
        ("WARNING: CPU: 0 PID: 1 at kernel/x.c:1 f+0x0/0x8", SplatKind.WARNING),
        ("BUG: sleeping function called from invalid context at mm/x.c:1", SplatKind.REPORT),
        ("BUG kmalloc-128 (Tainted: G): Redzone overwritten", SplatKind.REPORT),
        ("UBSAN: array-index-out-of-bounds in x.c:1", SplatKind.REPORT),
        ("rcu: INFO: rcu_sched detected stalls on CPUs/tasks:", SplatKind.RCU_STALL),
        ("INFO: rcu_sched self-detected stall on CPU", SplatKind.RCU_STALL),
        ("kernel BUG at x.c:1!", SplatKind.BUG),
        ("Kernel stack overflow", None),
        ("Key type BUGLE registered", None),
    ],
)
def test_wording(line: str, kind: SplatKind | None) -> None:
    splats = scan([f"[    1.234567] {line}"])
    assert [splat.kind for splat in splats] == ([kind] if kind else [])


def test_a_splat_is_pinned_on_the_play_it_came_in() -> None:
    log_lines = [
        "[    1.0] jp#0",
        "[    1.2] WARNING: CPU: 0 PID: 1 at x.c:1 f+0x0/0x8",
        "[    1.2] Call trace:",
        "[    1.3] jp#2",
        "[    1.4] WARNING: CPU: 0 PID: 1 at x.c:1 f+0x0/0x8",
    ]
    splat, last = scan(log_lines)
    assert (splat.seq, splat.lines[1]) == (2, "Call trace:")
    assert last.seq is None


@given(st.lists(st.integers(0, len(log("oops"))), max_size=10))
def test_pieces_make_the_same_splats(cuts: list[int]) -> None:
    text = log("oops")
    watcher = Watcher()
    edges = [0, *sorted(cuts), len(text)]
    for start, end in itertools.pairwise(edges):
        watcher.feed(text[start:end])
    assert [(s.kind, s.lines) for s in watcher.splats] == [
        (s.kind, s.lines) for s in scan(text.splitlines())
    ]
