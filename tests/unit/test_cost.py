# SPDX-License-Identifier: GPL-2.0-only
"""Costs are instructions, and a measurement in which a hit is missing is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.catalog import Catalog
from harness.errors import Exit
from harness.guest.protocol import Parser
from harness.model.cost import Cost, judge
from harness.model.policy import Policy, Rule
from harness.report import cost_report
from harness.run.cost import CALLS, CostOutcome, CostResult

# Of a guest under fixed-128.
RAW = (Path(__file__).parent / "data/cost.txt").read_bytes()
FIXED = Policy(Rule.FIXED, 128)


def measured() -> Cost:
    _, cost = Parser().feed(RAW)
    assert isinstance(cost, Cost)
    return cost


def test_a_real_record() -> None:
    cost = measured()
    assert judge(FIXED, cost, CALLS) == ()
    assert cost.counts_instructions
    assert cost.per_hit == pytest.approx(1821, abs=1)


@pytest.mark.parametrize("name", ["hits", "handler", "target"])
@pytest.mark.parametrize("step", [-1, 1])
def test_no_count_may_be_one_off(name: str, step: int) -> None:
    cost = measured()
    assert judge(FIXED, replace(cost, **{name: getattr(cost, name) + step}), CALLS)


def test_taint_is_told() -> None:
    assert judge(FIXED, replace(measured(), new_taint=0x200), CALLS)


def test_a_skipped_handler_is_as_predicted() -> None:
    skips = Policy(Rule.FP_DELTA, 8)
    assert judge(skips, replace(measured(), handler=0), CALLS) == ()
    assert judge(skips, measured(), CALLS)


@pytest.mark.parametrize("ticks", [12_000, 12_503, 25_000])
def test_a_counter_of_something_else(ticks: int) -> None:
    assert not replace(measured(), ticks=ticks).counts_instructions


def result(*outcomes: CostOutcome, planned: int = 1) -> CostResult:
    return CostResult("6.1.0", "gcc", planned, outcomes, (), (), "logs")


def test_reports(capsys: pytest.CaptureFixture[str]) -> None:
    variant = Catalog().variants["fixed-128"]
    good = CostOutcome(variant, measured(), ())
    dead = CostOutcome(variant, None, ("The guest did not play it",))
    assert result(good).exit_status is Exit.AGREES
    assert result(good, dead, planned=2).exit_status is Exit.DIFFERS
    assert result(good, planned=2).exit_status is Exit.INFRASTRUCTURE
    document = json.loads(json.dumps(cost_report.document(result(good, dead))))
    assert [(one["saved"], one["agrees"]) for one in document["costs"]] == [(128, True), (0, False)]
    assert document["costs"][0]["instructions"] == pytest.approx(1821, abs=1)
    cost_report.print_costs(result(good, dead))
    out = capsys.readouterr().out
    assert "128 bytes  1,821" in out
    assert "fixed-128: The guest did not play it" in out
