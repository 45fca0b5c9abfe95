# SPDX-License-Identifier: GPL-2.0-only
"""The stack that a prediction without a guest assumes."""

from __future__ import annotations

import itertools

import pytest

from harness import cli
from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.model.assumed import RecordPosition, lay_out, predict_assumed
from harness.model.context import Context
from harness.model.verdict import judge
from tests.unit.factory import case, observe

CATALOG = Catalog()


@pytest.mark.parametrize("frame", RecordPosition)
@pytest.mark.parametrize("context", Context)
def test_a_hit_there_is_one_that_a_verdict_accepts(context: Context, frame: RecordPosition) -> None:
    made = case(f"arguments: [9 x long]\ncontext: {context.value}")
    policy = CATALOG.variants["fixed-128"].policy
    hit, _ = lay_out(made, frame)
    assert judge(made, policy, observe(made, policy, hit)).mismatches == ()


@pytest.mark.parametrize("frame", RecordPosition)
@pytest.mark.parametrize(
    ("variant", "name", "label", "window"),
    [
        # A task's stack, of which little is left.
        ("v15", "deep-stack-25", "leak", 128),
        ("v15", "deep-by-ref-256", "by-ref", 128),
        # Next to nothing lies between SP and the top.
        ("v15", "top-read-only", "intact", 32),
        ("fixed-64", "top-stack-9", "intact", 32),
        ("thread-size", "top-stack-12", "intact", 48),
        ("fixed-128", "top-object-caller", "rollback", 48),
        # An interrupt's stack.
        ("v15", "irq-stack-9", "overflow", 352),
        ("v15", "softirq-stack-9", "overflow", 352),
        # What lies in the caller's caller is two frame records away.
        ("fixed-64", "rollback-counter-handler", "rollback", 64),
        ("fixed-128", "rollback-list-interrupt", "rollback", 128),
    ],
)
def test_what_the_context_means(
    variant: str, name: str, label: str, window: int, frame: RecordPosition
) -> None:
    prediction = predict_assumed(CATALOG.cases[name], CATALOG.variants[variant].policy, frame)
    assert (prediction.label, prediction.window) == (label, window)


@pytest.mark.parametrize("frame", RecordPosition)
@pytest.mark.parametrize("name", sorted(CATALOG.cases))
def test_nothing_lies_in_the_same_place(name: str, frame: RecordPosition) -> None:
    made = CATALOG.cases[name]
    hit, places = lay_out(made, frame)
    spans = [(at, at + made.arguments[i].type.size) for i, at in places.pointees.items()]
    spans.append((hit.sp, hit.sp + made.layout.stack_size))
    if made.object and made.object.argument is None:
        spans.append((places.object, places.object + made.object.size))
    if made.valid_fp:
        spans.append((hit.fp, hit.fp + 16))
    spans.sort()
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert spans[-1][1] <= hit.top
    assert hit.sp % 16 == hit.top % 16 == 0
    assert all(at % made.arguments[i].type.align == 0 for i, at in places.pointees.items())


def test_it_says_what_it_assumes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", "--case", "softirq-stack-9"]) == Exit.AGREES
    assert "softirqs on the interrupt stack (6.1 and later)" in capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["--svg", "-"]])
def test_nothing_is_predicted_of_a_trees_own(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", "--variant", "tree", "--case", "stack-9", *more]
    assert cli.main(arguments) == Exit.USAGE
    assert "'tree' cannot be predicted" in capsys.readouterr().err
