# SPDX-License-Identifier: GPL-2.0-only
"""What a run keeps of what it has judged does not grow with it."""

from __future__ import annotations

import functools
import gc
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.abi import aapcs64
from harness.cases.catalog import Catalog
from harness.kernel.kernel import Kernel
from harness.measure import fuzz
from harness.model import verdict
from harness.model.context import Context
from harness.modules.build import Modules
from harness.run.plan import Outcome, Play
from harness.run.result import Result
from tests.unit import factory
from tests.unit.kernels import made_up

BATCH = 20
# Before each of two points, the least of so many batches counts: signatures differ.
LAST = 5
# Two points of a run, in signatures; what is kept for a batch and for some types is there at both.
EARLY, LATE = 140, 280
# So much more may be kept at the later one for each signature between, in bytes.
MOST = 500
# Below the stack's top, in bytes.
ROOM = {Context.DEEP: 8192, Context.KTHREAD_TOP: 1024}


# What was kept when each boot began, in bytes.
BEGINS: list[int] = []


class _Modules:
    compiler = "gcc"


def _judged(kernel: Kernel, built: Modules, plays: Sequence[Play]) -> Result:
    """A boot in which nearly all is as predicted."""
    gc.collect()
    BEGINS.append(tracemalloc.get_traced_memory()[0])
    outcomes = []
    for play in plays:
        hit = replace(
            factory.HIT,
            top=factory.SP + ROOM.get(play.case.context, 4096),
            irq=play.case.context is Context.HARDIRQ,
        )
        seen = factory.observe(play.case, play.variant.expected, hit)
        outcomes.append(Outcome(play, verdict.judge(play.case, play.variant.expected, seen)))
    # The factory's guest does not know all that a random handler may overwrite.
    sound = tuple(outcome for outcome in outcomes if outcome.agrees)
    return Result("a kernel", "6.1", "port", "gcc", sound, len(plays))


def _growth() -> float:
    """What a run keeps of each signature, in bytes."""
    kernel = made_up(Path())
    variants = Catalog().select_variants(["none", "fixed-64", "fixed-128"])
    made: Any = _Modules()
    BEGINS.clear()
    # What is there already is not to be looked through again and again.
    gc.freeze()
    tracemalloc.start()
    try:
        campaign = fuzz.run(kernel, 7, LATE, variants, compiled=0, build=lambda kernel, cases: made)
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    assert campaign.played > 0.9 * LATE
    assert sum(campaign.classes.values()) > 0.9 * LATE
    early, late = (min(BEGINS[: point // BATCH][-LAST:]) for point in (EARLY, LATE))
    return (late - early) / (LATE - EARLY)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "BATCH", BATCH)
    monkeypatch.setattr("harness.run.repro.run", _judged)


def test_a_longer_run_keeps_no_more() -> None:
    assert _growth() < MOST


def test_what_is_kept_for_ever_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aapcs64, "place", functools.cache(aapcs64.place))
    assert _growth() > 3 * MOST


def test_outcomes_that_are_kept_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Outcome] = []
    fingerprint = fuzz.fingerprint

    def keep(outcome: Outcome) -> str:
        kept.append(outcome)
        return fingerprint(outcome)

    monkeypatch.setattr(fuzz, "fingerprint", keep)
    assert _growth() > 3 * MOST
