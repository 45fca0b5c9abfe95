# SPDX-License-Identifier: GPL-2.0-only
"""Costs are counted in instructions, and a measurement that misses a hit is rejected."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import ConfigError, Exit
from harness.guest.protocol import Parser
from harness.measure.cost import CALLS, CostOutcome, CostResult
from harness.model.cost import CostRecord, judge
from harness.model.policy import Policy, Rule
from harness.nightly import matrix, night
from harness.nightly.compare import Place, Sort, regressions
from harness.nightly.outputs import mail
from harness.nightly.store import Store
from harness.nightly.unit import Done, UnitKind
from harness.nightly.unit import HitCost as Spent
from harness.nightly.unit import result as came
from harness.report import cost_report
from harness.run.result import Batch

# What a guest sent under fixed-128.
RAW = (Path(__file__).parent / "data/cost").read_bytes()
FIXED = Policy(Rule.FIXED, 128)


def measured() -> CostRecord:
    _, cost = Parser().feed(RAW)
    assert isinstance(cost, CostRecord)
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


def test_taint_is_reported() -> None:
    assert judge(FIXED, replace(measured(), new_taint=0x200), CALLS)


def test_a_skipped_handler_is_as_predicted() -> None:
    skips = Policy(Rule.FP_DELTA, 8)
    assert judge(skips, replace(measured(), handler=0), CALLS) == ()
    assert judge(skips, measured(), CALLS)


@pytest.mark.parametrize("ticks", [12_000, 12_503, 25_000])
def test_a_counter_of_something_else(ticks: int) -> None:
    assert not replace(measured(), ticks=ticks).counts_instructions


def result(*outcomes: CostOutcome, planned: int = 1) -> CostResult:
    return Batch("debian:6.1", "6.1.0", "port", "gcc", outcomes, planned, logs="logs")


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


def test_a_function_that_did_not_run_has_no_cost(capsys: pytest.CaptureFixture[str]) -> None:
    cost = replace(measured(), target=0)
    outcome = CostOutcome(Catalog().variants["fixed-128"], cost, judge(FIXED, cost, CALLS))
    cost_report.print_costs(result(outcome))
    assert "target: 0 in 1000 calls" in capsys.readouterr().out
    (one,) = cost_report.document(result(outcome))["costs"]
    assert one["instructions"] is None


MATRIX = """
shows: costs
kernels: [debian:6.1]
variants: [none]
cases: [stack-9]
cost: {growth: 2}
"""


@pytest.fixture
def planned(tmp_path: Path) -> matrix.Matrix:
    (tmp_path / "night.yaml").write_text(MATRIX)
    return matrix.load(tmp_path / "night.yaml")


def spent(planned: matrix.Matrix, instructions: float | None, **fields: object) -> Done:
    costs = [Spent(variant="none", instructions=instructions, saved=0)] if instructions else []
    return came(planned.units[1], 1.0, 2.0, costs=costs, planned=1, played=len(costs), **fields)


def test_a_matrix_with_costs(planned: matrix.Matrix, tmp_path: Path) -> None:
    assert [(unit.kind, unit.growth) for unit in planned.units] == [
        (UnitKind.CELLS, 0),
        (UnitKind.COST, 2),
    ]
    (tmp_path / "night.yaml").write_text(MATRIX.replace("2", "-2"))
    with pytest.raises(ConfigError, match="cost: growth: give a percentage"):
        matrix.load(tmp_path / "night.yaml")


@pytest.mark.parametrize(
    ("now", "expected"),
    [(1000, []), (900, []), (1020, []), (1021, [Sort.COST]), (None, [Sort.GONE])],
)
def test_what_a_hit_may_cost(
    planned: matrix.Matrix, now: float | None, expected: list[Sort]
) -> None:
    found = regressions([spent(planned, now)], [spent(planned, 1000)], growth=2)
    assert [one.sort for one in found] == expected
    assert all(one.place == Place("debian:6.1", "gcc", "none") for one in found)


def test_a_cost_that_our_own_failure_kept_from_being_had(planned: matrix.Matrix) -> None:
    now = spent(planned, None, harness_errors=["no QEMU"])
    assert regressions([now], [spent(planned, 1000)], growth=2) == []


def test_a_cost_is_remembered_and_held_against_the_accepted_one(
    planned: matrix.Matrix, tmp_path: Path
) -> None:
    with Store(f"sqlite:///{tmp_path}/history.sqlite") as store:
        first, second = store.begin(planned), store.begin(planned)
        store.add(first, spent(planned, 1000))
        store.accept(first, "me", "the first")
        store.add(second, spent(planned, 1500))
        found = night.report(store, second)
        assert store.results(first)[0].costs == spent(planned, 1000).costs
    (one,) = found.regressions
    assert (one.was, one.is_) == ("1,000 instructions a hit", "1,500")
    reported = mail.text(found)
    assert "* debian:6.1, none\n  1,000 instructions a hit -> 1,500" in reported
    assert "50.0 % more, where 2 % are allowed" in reported
    assert "jprobe-harness cost --kernel debian:6.1 --variant none" in reported
