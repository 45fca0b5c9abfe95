# SPDX-License-Identifier: GPL-2.0-only
"""A storm's counts are judged exactly: one more or less of any makes a difference."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from harness.errors import Exit
from harness.measure.storm import StormOutcome, StormResult
from harness.model.context import Context
from harness.model.policy import Policy, Rule, Variant
from harness.model.storm import CONTEXTS, Caller, Storm, judge
from harness.report import storm_report
from tests.unit.factory import HIT

CPUS = 2
MILLISECONDS = 100
NONE = Policy(Rule.NONE)
ALL = [
    NONE,
    Policy(Rule.FIXED, 4),
    Policy(Rule.FIXED, 8),
    Policy(Rule.FP_DELTA, 128),
    Policy(Rule.FP_DELTA, 8),
    Policy(Rule.THREAD_SIZE),
]


def storm(policy: Policy) -> Storm:
    """What a faithful guest reports: FP is 64 bytes above SP."""
    skips = policy == Policy(Rule.FP_DELTA, 8)
    callers = []
    for number in range(CPUS):
        for context in CONTEXTS:
            calls = 1000 if context is Context.PROCESS else 100
            handler = 0 if skips else calls if context is Context.PROCESS else 90
            callers.append(
                Caller(
                    cpu=number,
                    context=context,
                    calls=calls,
                    handler=handler,
                    target=calls,
                    corrupt=handler if policy == NONE else 0,
                    wrong=handler if policy.size == 4 else 0,
                    at_once=min(2, handler),
                )
            )
    hits = CPUS * 1100
    missed = 0 if skips else CPUS * 10
    stacks = {Context.PROCESS: HIT, Context.HARDIRQ: replace(HIT, irq=True)}
    skipped = hits if skips else 0
    return Storm(1, "", MILLISECONDS, hits, missed, skipped, stacks, tuple(callers), 0)


def verdict(policy: Policy, seen: Storm) -> tuple[str, ...]:
    return judge(policy, seen, CPUS, MILLISECONDS)


@pytest.mark.parametrize("policy", ALL)
def test_a_faithful_storm(policy: Policy) -> None:
    assert verdict(policy, storm(policy)) == ()


@pytest.mark.parametrize("policy", ALL)
@pytest.mark.parametrize("step", [-1, 1])
def test_no_count_may_be_one_off(policy: Policy, step: int) -> None:
    seen = storm(policy)
    for name in ("hits", "missed", "skipped"):
        changed = replace(seen, **{name: getattr(seen, name) + step})
        assert verdict(policy, changed), name
    for index, caller in enumerate(seen.callers):
        for name in ("calls", "handler", "target", "corrupt", "wrong"):
            other = replace(caller, **{name: getattr(caller, name) + step})
            callers = (*seen.callers[:index], other, *seen.callers[index + 1 :])
            assert verdict(policy, replace(seen, callers=callers)), (caller, name)


CALM: list[tuple[str, Callable[[Storm], Storm]]] = [
    ("not all of 2 CPUs", lambda seen: replace(seen, callers=seen.callers[:2])),
    (
        "no two CPUs",
        lambda seen: replace(seen, callers=tuple(replace(c, at_once=1) for c in seen.callers)),
    ),
    (
        "no interrupt came while",
        lambda seen: replace(
            seen,
            missed=0,
            callers=tuple(replace(c, handler=c.calls, corrupt=c.calls) for c in seen.callers),
        ),
    ),
    ("it lasted 99 ms", lambda seen: replace(seen, milliseconds=99)),
    ("gained taint 0x200", lambda seen: replace(seen, new_taint=0x200)),
    ("nothing was hit in hardirq", lambda seen: replace(seen, stacks={Context.PROCESS: HIT})),
]


@pytest.mark.parametrize(("words", "calm"), CALM)
def test_what_is_no_storm(words: str, calm: Callable[[Storm], Storm]) -> None:
    assert any(words in text for text in verdict(NONE, calm(storm(NONE))))


def result(*outcomes: StormOutcome, planned: int = 1, own: tuple[str, ...] = ()) -> StormResult:
    return StormResult(
        "debian:6.1", "6.1.0", "port", "gcc", outcomes, planned,
        cpus=CPUS, seconds=0.1, harness_errors=own, logs="logs",
    )  # fmt: skip


VARIANT = Variant("none", NONE, "nothing", "v4.8")
GOOD = StormOutcome(VARIANT, storm(NONE), ())
DEAD = StormOutcome(VARIANT, None, ("KernelDied: oops",))


def test_exit_status() -> None:
    assert result(GOOD).exit_status is Exit.AGREES
    assert result(DEAD).exit_status is Exit.DIFFERS
    assert result(planned=1, own=("gone",)).exit_status is Exit.INFRASTRUCTURE


def test_reports(capsys: pytest.CaptureFixture[str]) -> None:
    made = result(GOOD, DEAD, planned=2)
    good, dead = json.loads(json.dumps(storm_report.document(made)))["storms"]
    assert (good["hits"], good["missed"], good["agrees"]) == (2200, 20, True)
    assert len(good["callers"]) == 2 * CPUS
    assert good["callers"][0].keys() == {field.name for field in fields(Caller)}
    assert (dead["agrees"], dead["reasons"]) == (False, ["KernelDied: oops"])
    storm_report.print_storms(made)
    text = capsys.readouterr().out
    assert "1 of 2 storms of 0.1 s as predicted; 2,200 hits" in text
    assert "KernelDied: oops" in text
    assert "See: jprobe-harness log logs" in text
