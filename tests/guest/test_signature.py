# SPDX-License-Identifier: GPL-2.0-only
"""The policy `signature`: what it leaves corrupt, and that a wrong descriptor shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.abi.ctype import CType
from harness.abi.descriptor import Base, Part, descriptor
from harness.cases.catalog import Catalog
from harness.cases.generator import draw
from harness.errors import Exit
from harness.kernel.kernel import Kernel
from harness.measure import cost, fuzz, storm
from harness.model import verdict as verdicts
from harness.model.case import Case
from harness.model.predict import Prediction, predict
from harness.modules import build as modules
from harness.run import repro
from harness.run.plan import Outcome, plays
from harness.run.result import Result
from tests.guest.conftest import BrokenTree, Descriptor, names

SEED = 2016
Change = Callable[[Descriptor], None]
POLICY = "stack-policy/stack_policy.h"


def knows(case: Case) -> bool:
    """Return whether nothing happens in the case but to its named arguments."""
    shared = case.object is not None and case.object.argument is not None
    return not (case.variadic or shared or any(argument.boxed for argument in case.arguments))


def test_it_leaves_nothing_corrupt_that_it_knows_of(
    full_run: dict[str, Any], catalog: Catalog
) -> None:
    seen = [verdict for verdict in full_run["verdicts"] if verdict["variant"] == "signature"]
    played = {verdict["case"] for verdict in seen}
    assert played | full_run["summary"]["lacking"].keys() == set(catalog.cases)
    for verdict in seen:
        if knows(catalog.cases[verdict["case"]]):
            assert set(verdict["class"].split("+")) <= {"intact", "missed"}, verdict["case"]
        assert verdict["overflow"]["observed"] == 0
    corrupt = {verdict["case"]: verdict["class"] for verdict in seen}
    assert corrupt["variadic-stack"] == "leak"
    assert corrupt["box-registers"] == corrupt["box-stack"] == corrupt["box-va-list"] == "by-ref"
    assert corrupt["rollback-argument-cpu"] == corrupt["rollback-argument-interrupt"] == "rollback"


def test_it_copies_less_than_the_patch_did(full_run: dict[str, Any]) -> None:
    prices = {price["variant"]: price for price in full_run["summary"]["prices"]}
    ours, theirs = prices["signature"], prices["fixed-128"]
    assert 0 < ours["average"] < theirs["average"]
    # Of the writes to what is no argument, none is undone.
    assert ours["undone"] == 2 < theirs["undone"]


def test_an_innocent_handler_does_no_harm(full_run: dict[str, Any]) -> None:
    """It formats a va_list that the function is passed, and so consumes it."""
    classes = {(v["variant"], v["case"]): v["class"] for v in full_run["verdicts"]}
    for case in ("va-list-registers", "va-list-stack"):
        assert (classes["none", case], classes["signature", case]) == ("by-ref", "intact")


@pytest.mark.full
def test_random_signatures(kernel: Kernel, catalog: Catalog) -> None:
    campaign = fuzz.run(kernel, SEED, 1000, [catalog.variants["signature"]], compiled=20)
    assert campaign.exit_status is Exit.AGREES
    # A handler that overwrites all of the stacked bytes reaches variadic ones.
    assert set(campaign.classes) <= {"intact", "leak"}
    drawn = [case for index in range(1000) if (case := draw(SEED, index)).handler.overwrite]
    assert campaign.classes["leak"] <= sum(case.variadic for case in drawn)


def test_all_cpus_at_once_and_its_cost(kernel: Kernel, catalog: Catalog) -> None:
    built = modules.build(kernel, list(catalog.cases.values()))
    variants = catalog.select_variants(["signature"])
    blown = storm.run(kernel, built, variants, cpus=4, seconds=2)
    assert [outcome.reasons for outcome in blown.outcomes] == [()]
    measured = cost.run(kernel, built, catalog.select_variants(["none", "fixed-128", "signature"]))
    assert [outcome.reasons for outcome in measured.outcomes] == [(), (), ()]
    assert [outcome.saved for outcome in measured.outcomes] == [0, 128, 8]


def play(kernel: Kernel, catalog: Catalog, cases: Sequence[str], **changes: Any) -> Result:
    chosen = catalog.select_cases(cases)
    built = modules.build(kernel, chosen, **changes)
    return repro.run(kernel, built, plays(catalog.select_variants(["signature"]), chosen))


def short(named: Sequence[CType]) -> tuple[Part, ...]:
    """Return a descriptor whose last part lacks a byte."""
    *parts, last = descriptor(named)
    return (*parts, dataclasses.replace(last, size=last.size - 1))


def test_a_byte_too_few(kernel: Kernel, catalog: Catalog, other_descriptor: Change) -> None:
    other_descriptor(short)
    cases = ["stack-9", "overwrite-1", "by-ref-24", "by-ref-address-stacked", "irq-by-ref-256"]
    result = play(kernel, catalog, cases)
    assert names(result.differing) == set(cases)
    for outcome in result.differing:
        assert any("bytes were saved, predicted" in reason for reason in outcome.reasons)
    (lost,) = [o for o in result.differing if o.play.case.name == "by-ref-24"]
    assert "argument 1 (struct big) is corrupt in byte 23, predicted no byte" in lost.reasons


def turned(named: Sequence[CType]) -> tuple[Part, ...]:
    """Return a descriptor with each pointer in the register of the next one."""
    parts = descriptor(named)
    numbers = [part.number for part in parts if part.base is Base.BY_REGISTER]
    following = dict(zip(numbers, numbers[1:] + numbers[:1]))
    return tuple(
        dataclasses.replace(part, number=following[part.number])
        if part.base is Base.BY_REGISTER
        else part
        for part in parts
    )


def test_a_wrong_register(kernel: Kernel, catalog: Catalog, other_descriptor: Change) -> None:
    other_descriptor(turned)
    result = play(kernel, catalog, ["by-ref-several", "stack-9"])
    assert names(result.differing) == {"by-ref-several"}
    assert any("is corrupt in" in reason for reason in result.differing[0].reasons)


def beside(named: Sequence[CType]) -> tuple[Part, ...]:
    """Return a descriptor that is one slot off."""
    return tuple(
        dataclasses.replace(part, number=part.number + 8) if part.base is Base.AT_SP else part
        for part in descriptor(named)
    )


@pytest.mark.full
def test_a_wrong_slot(kernel: Kernel, catalog: Catalog, other_descriptor: Change) -> None:
    other_descriptor(beside)
    result = play(kernel, catalog, ["stack-9", "stack-8"])
    assert names(result.differing) == {"stack-9"}
    assert any(
        "argument 8 (long) is corrupt in" in reason for reason in result.differing[0].reasons
    )


@pytest.mark.parametrize("wrong", [short, beside])
def test_a_wrong_one_that_is_sent_as_data(
    kernel: Kernel, catalog: Catalog, other_descriptor: Change, wrong: Descriptor
) -> None:
    def sometimes(named: Sequence[CType]) -> tuple[Part, ...]:
        return wrong(named) if descriptor(named) else ()

    other_descriptor(sometimes)
    campaign = fuzz.run(kernel, SEED, 60, [catalog.variants["signature"]], compiled=0)
    assert campaign.exit_status is Exit.DIFFERS
    assert all(failure.play.image for failure in campaign.failures)


def huge(named: Sequence[CType]) -> tuple[Part, ...]:
    return (Part(Base.AT_SP, 0, 5000), Part(Base.AT_SP, 0, 5000))


def no_register(named: Sequence[CType]) -> tuple[Part, ...]:
    return (Part(Base.BY_REGISTER, 8, 8),)


@pytest.mark.parametrize("wrong", [huge, pytest.param(no_register, marks=pytest.mark.full)])
def test_one_that_does_not_fit_is_refused(
    kernel: Kernel, catalog: Catalog, other_descriptor: Change, wrong: Descriptor
) -> None:
    """No probe is placed, and the function runs as if there were none."""
    other_descriptor(wrong)
    (outcome,) = play(kernel, catalog, ["stack-9"]).outcomes
    assert any("the probe could not be registered -22" in reason for reason in outcome.reasons)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        # A copy that goes on behind each part.
        (
            "stack_copy(save, stack_part_at(part, regs), part->size);",
            "stack_copy(save, stack_part_at(part, regs), part->size + 1);",
            "the save wrote 1 bytes past its buffer, predicted 0",
        ),
        # A restore of what lies on the stack alone.
        (
            "\t\t\tstack_copy(stack_part_at(part, regs), save, part->size);",
            "\t\t\tif (part->base == STACK_PART_AT_SP)\n"
            "\t\t\t\tstack_copy(stack_part_at(part, regs), save, part->size);",
            "is corrupt in byte 0-39, predicted no byte",
        ),
    ],
)
def test_an_engine_that_does_not_follow_it(
    kernel: Kernel, catalog: Catalog, broken_tree: BrokenTree, old: str, new: str, words: str
) -> None:
    result = play(kernel, catalog, ["by-ref-address-stacked"], root=broken_tree(POLICY, old, new))
    (outcome,) = result.differing
    assert any(words in reason for reason in outcome.reasons), outcome.reasons


@pytest.mark.full
def test_a_prediction_that_forgets_an_argument(
    kernel: Kernel, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fewer(case: Case, *rest: Any) -> Prediction:
        return predict(dataclasses.replace(case, named=case.named - 1), *rest)

    monkeypatch.setattr(verdicts, "predict", fewer)
    outcomes: Sequence[Outcome] = play(kernel, catalog, ["stack-9", "by-ref-1024"]).outcomes
    assert all(not outcome.agrees for outcome in outcomes)
