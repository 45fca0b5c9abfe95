# SPDX-License-Identifier: GPL-2.0-only
"""A verdict agrees with a faithful guest, and with no other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest

from harness.abi.offsets import ranges
from harness.model import verdict as verdicts
from harness.model.context import Context
from harness.model.observation import Counts, Look
from harness.model.policy import Hit, Policy, Rule
from harness.model.predict import Damage, MeasuredFrame, consumed, predict
from harness.model.verdict import judge
from tests.unit.factory import HIT, SP, case, observe

NONE = Policy(Rule.NONE)
FIXED = Policy(Rule.FIXED, 16)
TWELVE = case("{arguments: [12 x long], handler: {assign: all}}")
BIG = case("{types: {big: ['long[4]']}, arguments: [long, big], handler: {assign: all}}")
OBJECT = case("{arguments: [long], object: {size: 8, writer: handler}}")


@pytest.mark.parametrize(
    "policy", [NONE, FIXED, Policy(Rule.FP_DELTA, 32), Policy(Rule.THREAD_SIZE)]
)
@pytest.mark.parametrize("made", [TWELVE, BIG, OBJECT], ids=["twelve", "big", "object"])
def test_a_faithful_guest_agrees(made: object, policy: Policy) -> None:
    assert judge(made, policy, observe(made, policy)).mismatches == ()  # type: ignore[arg-type]


def test_leak_by_byte() -> None:
    found = judge(TWELVE, FIXED, observe(TWELVE, FIXED))
    assert found.prediction.damage == {Damage.LEAK}
    assert found.corrupt == {10: frozenset(range(8)), 11: frozenset(range(8))}


def test_by_reference_survives_what_does_not_reach_it() -> None:
    found = judge(BIG, FIXED, observe(BIG, FIXED))
    assert found.label == "by-ref"
    assert (
        judge(BIG, Policy(Rule.THREAD_SIZE), observe(BIG, Policy(Rule.THREAD_SIZE))).label
        == "intact"
    )


def test_rollback() -> None:
    found = judge(OBJECT, Policy(Rule.THREAD_SIZE), observe(OBJECT, Policy(Rule.THREAD_SIZE)))
    assert found.label == "rollback"
    assert found.lost == frozenset(range(8))


@pytest.mark.parametrize(
    ("kind", "size"), [("counter", range(8)), ("completion", [0]), ("list", range(16))]
)
def test_rollback_of_what_others_write(kind: str, size: Iterable[int]) -> None:
    made = case(f"{{arguments: [long], object: {{kind: {kind}, writer: cpu}}}}")
    whole = observe(made, Policy(Rule.THREAD_SIZE))
    found = judge(made, Policy(Rule.THREAD_SIZE), whole)
    assert (found.label, found.mismatches) == ("rollback", ())
    # A list's new pointers share some bytes with the old ones.
    assert found.lost and found.lost <= frozenset(size)
    assert judge(made, NONE, observe(made, NONE)).label == "intact"
    # An observation in which the write survived does not agree.
    assert whole.object
    kept = whole.object._replace(seen=whole.object.after)
    survived = judge(made, Policy(Rule.THREAD_SIZE), dataclasses.replace(whole, object=kept))
    assert "the caller's object lost no byte" in survived.mismatches[0]

    assert whole.object.seen
    other = whole.object._replace(seen=b"Z" * len(whole.object.seen))
    torn = judge(made, Policy(Rule.THREAD_SIZE), dataclasses.replace(whole, object=other))
    assert "the caller's object holds bytes that were never written to it" in torn.mismatches


def test_bytes_of_another_size_have_no_verdict() -> None:
    """This holds for each moment, even one that need not be looked at."""
    for made in (TWELVE, OBJECT):
        whole = observe(made, FIXED)
        for index, look in whole.arguments.items():
            for moment in ("before", "after", "seen"):
                cut: dict[str, Any] = {moment: b"123"}
                odd = {**whole.arguments, index: look._replace(**cut)}
                found = judge(made, FIXED, dataclasses.replace(whole, arguments=odd))
                assert not found.judged
                assert f"argument {index} was not recorded" in found.mismatches[0]
    surplus = {**whole.arguments, 9: Look(0, b"1", b"1", b"1")}
    found = judge(OBJECT, FIXED, dataclasses.replace(whole, arguments=surplus))
    assert "there is no argument 9" in found.mismatches[0]
    found = judge(TWELVE, FIXED, dataclasses.replace(observe(TWELVE, FIXED), object=whole.object))
    assert "there is no object" in found.mismatches[0]


def test_a_nested_probe() -> None:
    made = case("{arguments: [9 x long], handler: {assign: all}, nested: interrupt}")
    whole = observe(made, NONE)
    assert judge(made, NONE, whole).label == "leak+missed"
    assert whole.nested
    ran = dataclasses.replace(whole.nested.counts, handler=1, missed=0)
    for nested, sentence in (
        (None, "the nested probe was not hit"),
        (dataclasses.replace(whole.nested, counts=ran), "the nested probe counted"),
        (dataclasses.replace(whole.nested, seen=bytes(72)), "arguments are corrupt in byte 1-71"),
    ):
        found = judge(made, NONE, dataclasses.replace(whole, nested=nested))
        assert sentence in found.mismatches[0]
    plain = case("{arguments: [9 x long], handler: {assign: all}}")
    assert "a nested probe was hit" in judge(plain, NONE, whole).mismatches[0]


@pytest.mark.parametrize(
    ("context", "depth", "agrees"),
    [("deep", 8191, False), ("deep", 8192, True), ("kthread-top", 1040, False)],
)
def test_the_depth_of_a_hit(context: str, depth: int, agrees: bool) -> None:
    made = case(f"{{arguments: [9 x long], context: {context}}}")
    hit = dataclasses.replace(HIT, top=SP + depth)
    assert judge(made, NONE, observe(made, NONE, hit)).agrees is agrees


def test_overflow() -> None:
    hit = dataclasses.replace(HIT, irq=True)
    made = case("{arguments: [long], context: hardirq}")
    v15 = Policy(Rule.V15, 128)
    found = judge(made, v15, observe(made, v15, hit))
    assert (found.label, found.agrees) == ("overflow", True)
    assert not judge(made, v15, observe(made, v15, hit, overflow=0)).agrees


@pytest.mark.parametrize(
    "counts",
    [
        Counts(0, 0, 1, 0, 0),
        Counts(2, 1, 1, 0, 0),
        Counts(1, 0, 1, 1, 0),
        Counts(1, 2, 1, 0, 0),
        Counts(1, 1, 0, 0, 0),
        Counts(1, 1, 1, 0, 1),
    ],
)
def test_a_hit_that_was_not_planned_has_no_verdict(counts: Counts) -> None:
    found = judge(TWELVE, FIXED, observe(TWELVE, FIXED, counts=counts))
    assert not found.agrees
    assert all(text.startswith("not played as planned") for text in found.mismatches)
    assert found.corrupt == {}


def test_the_wrong_stack_is_not_as_planned() -> None:
    found = judge(TWELVE, FIXED, observe(TWELVE, FIXED, dataclasses.replace(HIT, irq=True)))
    assert "the probe was hit on an interrupt stack" in found.mismatches[0]
    made = case("{arguments: [9 x long], context: softirq}")
    found = judge(made, FIXED, observe(made, FIXED, context=Context.PROCESS))
    assert "the probe was hit in process context" in found.mismatches[0]


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_prediction_shifted_by_one_byte_differs(
    shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    observation = observe(TWELVE, FIXED)

    def shifted(made: object, policy: Policy, hit: Hit, places: MeasuredFrame) -> object:
        return predict(TWELVE, Policy(Rule.FIXED, policy.size + shift), hit, places)

    monkeypatch.setattr(verdicts, "predict", shifted)
    found = judge(TWELVE, FIXED, observation)
    assert any("is corrupt in" in text for text in found.mismatches)


def test_a_store_that_was_not_made_differs() -> None:
    observation = observe(TWELVE, FIXED)
    unchanged = observation.area._replace(after=observation.area.before)
    found = judge(TWELVE, FIXED, dataclasses.replace(observation, area=unchanged))
    assert "the handler wrote no byte of the argument area" in found.mismatches[0]


def test_an_intact_argument_that_was_predicted_corrupt_differs() -> None:
    observation = observe(TWELVE, NONE)
    arguments = {
        index: look._replace(seen=TWELVE.arguments[index].value)
        for index, look in observation.arguments.items()
    }
    found = judge(TWELVE, NONE, dataclasses.replace(observation, arguments=arguments))
    assert any("is corrupt in no byte" in text for text in found.mismatches)


def test_an_argument_elsewhere_than_predicted_differs() -> None:
    observation = observe(TWELVE, FIXED)
    seen = observation.area.seen or b""
    moved = observation.area._replace(seen=seen[8:] + seen[:8])
    found = judge(TWELVE, FIXED, dataclasses.replace(observation, area=moved))
    assert any("is not where C.17 puts it" in text for text in found.mismatches)


@pytest.mark.parametrize("change", [{"saved": 15}, {"overflow": 1}, {"new_taint": 512}])
def test_anything_else_that_differs(change: dict[str, Any]) -> None:
    assert len(judge(TWELVE, FIXED, observe(TWELVE, FIXED, **change)).mismatches) == 1


def test_missing_looks_are_not_as_planned() -> None:
    found = judge(BIG, FIXED, observe(BIG, FIXED, arguments={}))
    assert not found.agrees
    cut = observe(TWELVE, FIXED, area=Look(0, b"", b"", b""))
    assert "the argument area was not recorded" in judge(TWELVE, FIXED, cut).mismatches[0]
    for made, policy in ((BIG, FIXED), (OBJECT, NONE)):
        whole = observe(made, policy)
        for moment in ("before", "after", "seen"):
            cut_short: dict[str, Any] = {moment: b"\x01"}
            gone: dict[str, Any] = {moment: None}
            arguments = {
                index: look._replace(**cut_short) for index, look in whole.arguments.items()
            }
            looked = whole.object and whole.object._replace(**gone)
            short = dataclasses.replace(whole, arguments=arguments, object=looked)
            assert "was not recorded" in judge(made, policy, short).mismatches[0]


def test_a_copy_or_object_that_was_not_written_to_differs() -> None:
    """What was not written to is neither intact nor rolled back."""
    thread_size = Policy(Rule.THREAD_SIZE)
    whole = observe(BIG, thread_size)
    look = whole.arguments[1]
    arguments = {**whole.arguments, 1: look._replace(after=look.before)}
    found = judge(BIG, thread_size, dataclasses.replace(whole, arguments=arguments))
    assert "the handler wrote no byte of argument 1's copy" in found.mismatches[0]
    whole = observe(OBJECT, thread_size)
    assert whole.object
    untouched = whole.object._replace(after=whole.object.before)
    found = judge(OBJECT, thread_size, dataclasses.replace(whole, object=untouched))
    assert "the caller's object held a0a1a2a3a4a5a6a7 after" in found.mismatches[0]


def test_padding_is_not_judged() -> None:
    holey = case(
        "{types: {holey: [char, long]}, arguments: [8 x long, holey], handler: {assign: [8]}}"
    )
    observation = observe(holey, Policy(Rule.THREAD_SIZE))
    look = observation.arguments[8]
    seen = bytearray(look.seen or b"")
    seen[3] ^= 0xFF
    arguments = {**observation.arguments, 8: look._replace(seen=bytes(seen))}
    changed = dataclasses.replace(observation, arguments=arguments)
    # The area holds other padding than the argument; neither counts.
    found = judge(holey, Policy(Rule.THREAD_SIZE), changed)
    assert found.corrupt == {}
    assert not [text for text in found.mismatches if "argument 8" in text]


def test_consumed_takes_registers_first() -> None:
    def made(stack: int, offset: int) -> bytes:
        words = stack.to_bytes(8, "little") + bytes(16)
        return words + offset.to_bytes(4, "little", signed=True) + bytes(4)

    assert consumed(made(SP, -56), 2) == made(SP, -40)
    assert consumed(made(SP, -56), 7) == made(SP, 0)
    assert consumed(made(SP, -56), 9) == made(SP + 16, 0)


def test_ranges() -> None:
    assert ranges([3, 1, 2, 7]) == [(1, 4), (7, 8)]
    assert ranges([]) == []


KERNEL = Policy(Rule.KERNEL)


def test_of_a_kernels_own_policy_nothing_is_predicted() -> None:
    """What was seen is the class, whichever policy it comes from."""
    for policy in (Policy(Rule.NONE), Policy(Rule.FIXED, 8), Policy(Rule.THREAD_SIZE)):
        reported = observe(TWELVE, policy, saved=None, overflow=None)
        found = judge(TWELVE, KERNEL, reported)
        assert found.agrees, found.mismatches
        expected = judge(TWELVE, policy, observe(TWELVE, policy))
        assert (found.corrupt, found.label) == (expected.corrupt, expected.label)


def test_a_kernel_that_skips_a_hook_itself() -> None:
    hit = dataclasses.replace(HIT, fp=0)
    reported = observe(TWELVE, Policy(Rule.FP_DELTA, 128), hit, saved=None, overflow=None)
    found = judge(TWELVE, KERNEL, reported)
    assert (found.agrees, found.label) == (True, "skipped")


def test_what_no_policy_explains_differs_under_a_kernels_own() -> None:
    reported = observe(TWELVE, Policy(Rule.NONE), saved=None, overflow=None)
    look = reported.arguments[9]
    assert look.seen
    strange = look._replace(seen=bytes(octet ^ 0x3C for octet in look.seen))
    changed = dataclasses.replace(reported, arguments={**reported.arguments, 9: strange})
    assert not judge(TWELVE, KERNEL, changed).agrees
    assert not judge(TWELVE, KERNEL, dataclasses.replace(reported, new_taint=0x200)).agrees
    lost = dataclasses.replace(reported, counts=dataclasses.replace(reported.counts, hits=2))
    assert not judge(TWELVE, KERNEL, lost).agrees


def test_an_interrupt_where_there_is_no_interrupt_stack() -> None:
    """Up to v4.4 it runs on the stack of the task that it interrupts."""
    made = case("{arguments: [9 x long], context: hardirq}")
    hit = dataclasses.replace(HIT, irq_stack_size=0)
    assert judge(made, FIXED, observe(made, FIXED, hit)).agrees
    assert not judge(made, FIXED, observe(made, FIXED)).agrees
    on_one = dataclasses.replace(hit, irq=True)
    assert not judge(made, FIXED, observe(made, FIXED, on_one)).agrees
