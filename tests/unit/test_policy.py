# SPDX-License-Identifier: GPL-2.0-only
"""What each policy saves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.policy import Hit, Policy, Rule, Save, Span, save

TOP = 0xFFFF800008004000


def hit(below_top: int, fp_minus_sp: int = 64, irq: bool = False) -> Hit:
    sp = TOP - below_top
    return Hit(sp, sp + fp_minus_sp, TOP, irq, 16384)


@pytest.mark.parametrize(
    ("policy", "at", "expected"),
    [
        (Policy(Rule.NONE), hit(1024), (0, 0)),
        (Policy(Rule.FIXED, 128), hit(1024), (128, 0)),
        # Clipped at the stack's top.
        (Policy(Rule.FIXED, 128), hit(48), (48, 0)),
        (Policy(Rule.V15, 128), hit(1024), (128, 0)),
        # As posted: on the interrupt stack everything is saved, into 128 bytes.
        (Policy(Rule.V15, 128), hit(1024, irq=True), (1024, 896)),
        (Policy(Rule.V15, 128), hit(96, irq=True), (96, 0)),
        (Policy(Rule.FIXED, 128), hit(1024, irq=True), (128, 0)),
        (Policy(Rule.FP_DELTA, 128), hit(1024, 128), (128, 0)),
        (Policy(Rule.FP_DELTA, 128), hit(1024, 136), None),
        (Policy(Rule.FP_DELTA, 128), hit(1024, 0), (0, 0)),
        # No frame on this stack: below SP, above the top, or odd.
        (Policy(Rule.FP_DELTA, 128), hit(1024, -16), None),
        (Policy(Rule.FP_DELTA, 128), hit(64, 64), None),
        (Policy(Rule.FP_DELTA, 128), hit(64, 48), (48, 0)),
        (Policy(Rule.FP_DELTA, 128), hit(1024, 12), None),
        (Policy(Rule.THREAD_SIZE), hit(1024), (1024, 0)),
    ],
)
def test_save(policy: Policy, at: Hit, expected: tuple[int, int] | None) -> None:
    """Most policies save one range from SP upwards, whatever the arguments are."""
    made = expected and Save(((at.sp, at.sp + expected[0]),), expected[1])
    assert save(policy, at) == save(policy, at, [(at.sp, at.sp + 8)]) == made


@pytest.mark.parametrize("irq", [False, True])
def test_a_signature_saves_the_arguments_alone(irq: bool) -> None:
    at = hit(1024, irq=irq)
    arguments: list[Span] = [(at.sp, at.sp + 8), (at.sp + 16, at.sp + 25), (8192, 8292)]
    saved = save(Policy(Rule.SIGNATURE), at, iter(arguments))
    assert saved == Save(tuple(arguments), 0)
    assert saved.size == 8 + 9 + 100
    assert save(Policy(Rule.SIGNATURE), at) == Save(())


@given(
    st.sampled_from([rule for rule in Rule if rule is not Rule.KERNEL]),
    st.integers(0, 256),
    st.integers(0, 1024).map(lambda words: words * 16),
    st.integers(-64, 20000),
    st.booleans(),
)
def test_no_policy_reads_above_the_stack(
    rule: Rule, size: int, below_top: int, delta: int, irq: bool
) -> None:
    saved = save(Policy(rule, size), hit(below_top, delta, irq))
    if saved is not None:
        assert 0 <= saved.size <= below_top
        assert saved.overflow == 0 or (rule is Rule.V15 and irq)
