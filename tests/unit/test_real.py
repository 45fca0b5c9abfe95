# SPDX-License-Identifier: GPL-2.0-only
"""Cases on functions of the kernel's own: files, C, verdicts, and which kernels have them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from harness.cases.catalog import Catalog
from harness.errors import ConfigError
from harness.guest.splat import Watcher
from harness.kernel.kernel import Engine
from harness.measure import fuzz
from harness.model.case import Case, Effect
from harness.model.driven import KILLED, OOPSED, foreseen
from harness.model.observation import Driven, Observation
from harness.model.policy import Variant
from harness.model.verdict import Verdict, judge
from harness.modules import casegen
from harness.modules.build import playable
from harness.prototypes.probed import lacking
from harness.run import job
from harness.run.plan import Outcome, Play, plays
from harness.run.repro import _Plays
from tests.unit.factory import case, observe
from tests.unit.kernels import made_up
from tests.unit.made_btf import nine_words
from tests.unit.test_prototypes import raw

REAL = "real: {function: f, action: udp, effect: {intact: arrived}}"
CASES = Catalog().cases
NONE, SIGNATURE = (Catalog().variants[name] for name in ("none", "signature"))


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        (f"arguments: [{{type: long, value: 1}}]\n{REAL}", "only the kernel knows"),
        (f"arguments: [{{type: long, boxed: true}}]\n{REAL}", "not boxed"),
        (f"arguments: [long]\nnested: handler\n{REAL}", "the kernel calls the function"),
        (f"arguments: [long]\ncontext: deep\n{REAL}", "a program leads to"),
        (f"arguments: [long]\n{REAL.replace(' f,', ' f(),')}", "the name of a function"),
        (f"arguments: [long]\n{REAL.replace('udp', 'udp more')}", "one word"),
        (f"arguments: [long]\n{REAL.replace('action', 'call: 0, action')}", "1 to 1000"),
        (f"arguments: [long]\n{REAL.replace('arrived', 'arrived, corrupt: lost')}", "in place of"),
        (f"arguments: [long]\n{REAL.replace('arrived', 'arrived, kind: garbled')}", "in place of"),
        (
            f"arguments: [long]\n{REAL.replace('arrived', 'x, kind: oops, corrupt: y')}",
            "in place of",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, phrase: str) -> None:
    with pytest.raises(ConfigError, match=phrase):
        case(text)


def test_the_guest_probes_the_kernels_function() -> None:
    text = casegen.source([CASES["real-vprintk-emit"]])
    assert '.jp.symbol = "vprintk_emit"' in text
    assert ".jp.wanted = probe_real_wanted" in text
    assert "references[] = { 4, }" in text
    assert "real_vprintk_emit_target" not in text
    assert "real_vprintk_emit_call" not in text


def test_a_trees_own_jprobes_play_none() -> None:
    cases = list(CASES.values())
    assert playable(Engine.PORT, cases) == cases
    assert not any(one.real for one in playable(Engine.NATIVE, cases))


def verdict(name: str, **changes: Any) -> Verdict:
    made = CASES[name]
    seen = observe(made, NONE.policy)
    assert seen.driven
    driven = dataclasses.replace(seen.driven, **changes)
    return judge(made, NONE.policy, dataclasses.replace(seen, driven=driven))


@pytest.mark.parametrize("name", ["real-udp-flags", "real-udp-cork", "real-open"])
def test_a_faithful_guest_agrees(name: str) -> None:
    assert verdict(name).mismatches == ()


WORDS = bytes(range(64))


@pytest.mark.parametrize(
    ("name", "changes", "phrase"),
    [
        ("real-udp-flags", {"effect": "arrived"}, "udp found 'arrived', predicted 'lost'"),
        ("real-udp-flags", {"effect": ""}, "found nothing, predicted 'lost'"),
        ("real-udp-flags", {"status": 0x100}, "ended with status 0x100"),
        ("real-open", {"effect": "nothing"}, "predicted 'a file'"),
        ("real-udp-flags", {"arrived": WORDS}, "x0 did not arrive as it was passed"),
        ("real-udp-flags", {"passed": None}, "registers were not recorded in full"),
        ("real-udp-flags", {"arrived": WORDS[:-1]}, "registers were not recorded in full"),
        ("real-udp-cork", {"status": 0}, "the task was to be killed"),
        ("real-udp-cork", {"status": 9}, "the task was to be killed"),
    ],
)
def test_what_else_is_seen_is_a_mismatch(name: str, changes: dict[str, Any], phrase: str) -> None:
    found = verdict(name, **changes)
    assert any(phrase in sentence for sentence in found.mismatches), found.mismatches


def seen_of(made: Case) -> Observation:
    return observe(made, NONE.policy)


def test_taint_is_only_what_an_oops_brings() -> None:
    cork, flags = CASES["real-udp-cork"], CASES["real-udp-flags"]
    without = dataclasses.replace(seen_of(cork), new_taint=0)
    assert "the kernel gained taint 0x0" in judge(cork, NONE.policy, without).mismatches
    tainted = dataclasses.replace(seen_of(flags), new_taint=OOPSED)
    assert "the kernel gained taint 0x80" in judge(flags, NONE.policy, tainted).mismatches


def test_a_call_of_the_kernels_where_none_was_planned() -> None:
    made = CASES["stack-9"]
    driven = Driven(WORDS, WORDS, 0, "arrived")
    found = judge(made, NONE.policy, dataclasses.replace(seen_of(made), driven=driven))
    assert not found.judged
    assert "was called" in found.mismatches[0]


OOPS = "Unable to handle kernel paging request at virtual address 00007fff\n"
WARNING = "WARNING: CPU: 0 PID: 1 at mm/slab.c:1 f+0x0/0x10\n"


def outcome(name: str, console: str) -> Outcome:
    watcher = Watcher()
    watcher.feed(console + "---[ end trace 0 ]---\n")
    made = CASES[name]
    judged = judge(made, NONE.policy, seen_of(made))
    return Outcome(Play(NONE, made), judged).complained(watcher.splats)


def test_an_oops_that_was_predicted_is_no_complaint() -> None:
    assert outcome("real-udp-cork", OOPS).agrees
    assert outcome("real-udp-cork", OOPS).unforeseen == ()
    assert not outcome("real-udp-cork", OOPS + "---[ end trace 0 ]---\n" + WARNING).agrees
    assert not outcome("real-udp-flags", OOPS).agrees
    assert outcome("real-udp-cork", OOPS).effect is Effect.OOPS


def test_an_oops_ends_a_guest_unless_it_was_told() -> None:
    watcher = Watcher()
    watcher.feed(OOPS)
    assert watcher.dead
    watcher.survives = True
    assert not watcher.dead
    watcher.feed("---[ end trace 0 ]---\nKernel panic - not syncing: Fatal exception\n")
    assert watcher.dead


def shared(cases: Sequence[Case]) -> list[list[str]]:
    plan = plays([NONE, SIGNATURE], cases)
    shares = _Plays(cast(Any, None), None).shares(plan)
    assert all(plan[at] is play for one in shares for play, at in zip(one.items, one.places))
    return [[str(play) for play in one.items] for one in shares]


def test_what_oopses_is_played_last() -> None:
    (share,) = shared([CASES[name] for name in ("real-udp-cork", "stack-9")])
    assert share == [
        "none x stack-9",
        "signature x stack-9",
        "signature x real-udp-cork",
        "none x real-udp-cork",
    ]


def test_nothing_is_played_in_a_guest_after_what_oopses() -> None:
    again = dataclasses.replace(CASES["real-udp-cork"], name="again")
    first, second = shared([CASES["real-udp-cork"], CASES["stack-9"], again])
    assert (len(first), first[-1], second) == (5, "none x real-udp-cork", ["none x again"])


@pytest.mark.parametrize("variant", list(Catalog().variants.values()), ids=lambda one: one.name)
def test_what_is_foreseen_of_an_oops(variant: Variant) -> None:
    oopses = {"none": {Effect.OOPS}}
    found = foreseen(CASES["real-udp-cork"], variant.policy)
    assert found == oopses.get(variant.name, {Effect.NONE})


def test_what_is_drawn_is_not_drawn_to_find_out_what_may_oops() -> None:
    plan = fuzz.plays(7, range(100), [NONE], 0)
    (share,) = _Plays(cast(Any, None), None).shares(plan)
    left = share.after(10)
    assert (len(left.items), list(left.places)) == (90, list(range(10, 100)))
    assert cast(Any, plan)._drawn == {}


def named(function: str, *types: str) -> Case:
    made = case(f"arguments: [{', '.join(types)}]\n{REAL.replace(' f,', f' {function},')}")
    return dataclasses.replace(made, name=f"on-{function}-{len(types)}-{types[-1]}")


def test_who_has_a_function(tmp_path: Path) -> None:
    kernel = made_up(tmp_path, image=raw(nine_words().data(), tmp_path), key=str(tmp_path))
    nine = ["long"] * 9
    cases = [
        named("nine", *nine),
        named("nine", *nine[1:]),
        # Of another size, though in the same slot.
        named("nine", *nine[1:], "int"),
        named("ten", *nine),
        case("arguments: [long]", "ours"),
    ]
    assert lacking(kernel, cases) == {
        "on-nine-8-long": f"the arguments are others: int nine({arguments()})",
        "on-nine-9-int": f"the arguments are others: int nine({arguments()})",
        "on-ten-9-long": "there is no prototype of ten()",
    }
    # From the cache.
    assert len(lacking(kernel, cases)) == 3
    native = dataclasses.replace(kernel, engine=Engine.NATIVE)
    assert len(lacking(native, cases)) == 4


def arguments() -> str:
    return ", ".join(f"long int a{number}" for number in range(9))


def test_a_kernel_without_prototypes_has_none(tmp_path: Path) -> None:
    kernel = made_up(tmp_path, image=raw(b"", tmp_path), key=str(tmp_path))
    found = lacking(kernel, [named("nine", "long")])
    assert "neither BTF nor DWARF" in found["on-nine-1-long"]
    assert lacking(kernel, [case("arguments: [long]")]) == {}


def test_a_plan_is_played_without_what_a_kernel_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = made_up(tmp_path)
    monkeypatch.setattr(job, "lacking", lambda kernel, cases: {"real-open": "no f()"})

    def prepare(*given: Any, **options: Any) -> tuple[Any, Any]:
        return kernel, None

    both = plays([NONE], [CASES["stack-8"], CASES["real-open"]])
    (image,) = job.prepare_plan(job.Target("k"), Catalog(), both, prepare=prepare)
    assert [play.case.name for play in image.plays] == ["stack-8"]
    with pytest.raises(ConfigError, match=r"has the function of no case .*: no f\(\)"):
        job.prepare_plan(job.Target("k"), Catalog(), both[1:], prepare=prepare)


def test_the_signal_is_that_of_a_killed_task() -> None:
    assert Driven(None, None, KILLED | 0x80, "").signal == KILLED
