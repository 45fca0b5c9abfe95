# SPDX-License-Identifier: GPL-2.0-only
"""Claims held against results that nobody played: each can turn to each of its outcomes."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from harness import cli
from harness.answers import claim, found
from harness.answers.answer import Answer, answered, outcome_of
from harness.answers.claim import NO_RESULT, Claim, OutcomeFile, State, Trait
from harness.answers.evidence import CostFound, Evidence, StormFound, short_compiler, together
from harness.answers.found import Known
from harness.answers.page import Page
from harness.cases.catalog import Catalog
from harness.errors import Exit
from tests.unit import claims
from tests.unit.claims import RUN, cell, clean, evidence, run

CLAIMS = {one.name: one for one in claim.load()}
KNOWN = found.known(Catalog())
# The policy that BTF makes possible may not be in the catalogue yet.
KNOWN = replace(KNOWN, variants=tuple(dict.fromkeys((*KNOWN.variants, "signature"))))
OUTCOMES = [(one, outcome) for one in CLAIMS.values() for outcome in one.file.outcomes]


def held(name: str, results: Evidence, known: Known = KNOWN) -> Answer:
    (answer,) = answered([CLAIMS[name]], results, known)
    return answer


def states_for(one: Claim, outcome: OutcomeFile) -> dict[str, State]:
    """Return states of a claim's measures by which it gets this outcome and no earlier one."""
    for states in claims.choices(one, tuple(State)):
        if outcome_of(one, states) is outcome and claims.is_possible(one, states):
            return states
    raise AssertionError(f"{one.name}: nothing leads to '{outcome.says}'")


@pytest.mark.parametrize(
    ("one", "outcome"), OUTCOMES, ids=[f"{one.name}-{o.verdict}" for one, o in OUTCOMES]
)
def test_each_claim_can_turn_to_each_outcome(one: Claim, outcome: OutcomeFile) -> None:
    states = states_for(one, outcome)
    answer = held(one.name, claims.made(one, states, KNOWN))
    seen = {measure.name: measure.state for measure in answer.measures}
    assert {name: seen[name] for name in outcome.when} == {n: states[n] for n in outcome.when}
    assert (answer.verdict, answer.answer, answer.says) == (
        outcome.verdict, outcome.answer, outcome.says
    )  # fmt: skip
    assert answer.numbers


@pytest.mark.parametrize("one", CLAIMS.values(), ids=CLAIMS)
def test_no_result_is_without_an_outcome(one: Claim) -> None:
    if not one.file.measures:
        assert not one.file.command
        return
    assert all(outcome_of(one, states) for states in claims.choices(one))
    assert outcome_of(one, dict.fromkeys(one.file.measures, State.MISSING)) is None


@pytest.mark.parametrize("one", CLAIMS.values(), ids=CLAIMS)
def test_without_results_a_claim_says_so_and_what_brings_one(one: Claim) -> None:
    (answer,) = answered([one], Evidence(), KNOWN)
    assert answer.verdict == NO_RESULT
    assert answer.says == one.file.unmeasured
    if one.file.measures:
        assert answer.lacks
        assert one.file.command


@pytest.mark.parametrize("one", CLAIMS.values(), ids=CLAIMS)
def test_the_commands_of_a_claim_are_commands(one: Claim) -> None:
    texts = [one.file.command, *(measure.command for measure in one.file.measures.values())]
    for text in filter(None, texts):
        for part in text.split(" && "):
            program, *words = shlex.split(part)
            assert program == "jprobe-harness"
            if words[0] in cli.COMMANDS or words[0] != "survey":
                cli.parser().parse_args(words)


@pytest.mark.parametrize(
    "one", [o for o in CLAIMS.values() if o.file.command.startswith("jprobe-harness repro")],
    ids=lambda one: one.name,
)  # fmt: skip
def test_a_claims_command_plays_all_that_it_needs(one: Claim) -> None:
    words = shlex.split(one.file.command.partition(" && ")[0])
    asked = cli.parser().parse_args(words[1:])

    def plays(place: tuple[str, str]) -> bool:
        variants, cases = asked.variant or ["*"], asked.case or ["*"]
        return found.matches(place[0], variants) and found.matches(place[1], cases)

    played = {place: damage for place, damage in clean(KNOWN).items() if plays(place)}
    assert held(one.name, evidence(played)).known
    # Without the cells of a policy that it is about, there is no result.
    subjects = [measure.cells or measure.sizes for measure in one.file.measures.values()]
    about = next(subject for subject in subjects if subject).variants
    assert any(found.matches(variant, about) for variant, _ in played)
    rest = {place: one for place, one in played.items() if not found.matches(place[0], about)}
    assert not held(one.name, evidence(rest)).known


def test_128_that_leaves_nothing_corrupt_would_be_enough() -> None:
    everything = clean(KNOWN)
    assert held("enough-128", evidence(everything)).verdict == "holds"
    everything["fixed-128", "stack-25"] = {"leak": 8}
    answer = held("enough-128", evidence(everything))
    assert answer.verdict == "does not hold"
    assert "(least: 8 bytes in stack-25)" in answer.numbers
    # A write that another variant leaves says nothing of 128.
    del everything["fixed-128", "stack-25"]
    everything["fixed-64", "stack-25"] = {"leak": 72}
    assert held("enough-128", evidence(everything)).verdict == NO_RESULT


def test_that_there_is_none_needs_all_cells() -> None:
    everything = clean(KNOWN)
    del everything["fixed-128", "stack-9"]
    answer = held("enough-128", evidence(everything))
    assert answer.verdict == NO_RESULT
    assert "cells that could show it were judged" in answer.lacks
    # A counterexample counts wherever it was found.
    few = evidence({("fixed-128", "stack-25"): {"leak": 8}})
    assert held("enough-128", few).verdict == "does not hold"


CASES = {"a": frozenset({Trait.STACKED}), "b": frozenset({Trait.STACKED})}
SMALL = Known(CASES, ("fixed-128",), frozenset(CASES))


def test_a_cell_without_a_verdict_does_not_count() -> None:
    cells = (cell("fixed-128", "a"), replace(cell("fixed-128", "b", agrees=False), damage=None))
    answer = held("enough-128", Evidence((RUN,), cells), SMALL)
    assert "only 1 of 2 cells" in answer.lacks


def test_of_several_cells_the_one_that_differs_counts() -> None:
    odd = cell("fixed-128", "a", agrees=False, leak=3)
    cells = (cell("fixed-128", "a"), odd, cell("fixed-128", "a"), cell("fixed-128", "b"))
    answer = held("enough-128", Evidence((RUN,), cells), SMALL)
    assert answer.differ == 1
    assert answer.numbers.startswith("leak in 1 of 2 cells")
    page = Page([answer], Evidence((run(status=Exit.DIFFERS),), cells))
    assert page.short[0][1] == "≠ no: does not hold"
    (warning,) = page.warnings
    assert warning.startswith("≠ 1 cells are not as predicted")
    assert "fixed-128 x a" in warning
    assert page.exit_status == Exit.DIFFERS


def test_the_least_example_is_the_plainest() -> None:
    cells = [
        cell("fixed-128", "stack-25", leak=8),
        cell("fixed-128", "irq-overwrite-129", leak=1),
        cell("fixed-128", "overwrite-129", leak=1),
    ]
    answer = held("enough-128", Evidence((RUN,), tuple(cells)))
    least = answer.measures[0].least
    assert least and (least.case, least.size) == ("overwrite-129", 1)
    assert "(least: 1 byte in overwrite-129)" in answer.numbers


def test_kernels_are_counted_apart_and_together() -> None:
    other = run("6.12")
    cells = [cell("fixed-128", "a", leak=2), cell("fixed-128", "a", of=other, leak=1)]
    cells.append(cell("fixed-128", "b", of=other))
    answer = held("enough-128", Evidence((RUN, other), tuple(cells)), SMALL)
    assert answer.numbers.startswith("leak in 2 of 3 cells with stacked arguments on 2 kernels")
    columns = [
        (column.run.release, column.found, column.of) for column in answer.measures[0].columns
    ]
    assert columns == [("6.1", 1, 1), ("6.12", 1, 2)]
    assert [one.release for one in answer.runs] == ["6.1", "6.12"]


def test_a_size_of_the_users_own_counts_among_the_sizes() -> None:
    everything = clean(KNOWN, ("fixed-64", "fixed-128", "thread-size", "fixed:256"))
    for variant in ("fixed-64", "fixed-128", "thread-size"):
        everything[variant, "stack-25"] = {"leak": 8}
    assert held("always-wrong", evidence(everything)).verdict == "does not hold"
    everything["fixed:256", "stack-40"] = {"leak": 1}
    answer = held("always-wrong", evidence(everything))
    assert answer.verdict == "holds"
    assert answer.numbers.endswith(f"in 1 of {len(KNOWN.cases)} cells under fixed:256")
    # One of which too little was played is neither right nor wrong.
    few = {place: damage for place, damage in everything.items() if place[0] != "fixed-64"}
    answer = held("always-wrong", evidence(few))
    assert (answer.verdict, answer.lacks) == (NO_RESULT, "too little was played under fixed-64")


def test_nested_probes_that_are_missed() -> None:
    answer = held("nested-missed", evidence(clean(KNOWN)))
    assert answer.verdict == "holds"
    of = answer.measures[0].of
    assert of
    assert answer.numbers == f"missed in {of} of {of} cells with a nested probe"


def test_costs_are_numbers_beside_the_others() -> None:
    other = run("6.12")
    costs = [CostFound(RUN, "none", 1742.4, True), CostFound(RUN, "thread-size", 2597, True)]
    costs += [CostFound(other, "none", 1800, False), CostFound(other, "v15", 1, True)]
    results = together([evidence(clean(KNOWN)), Evidence((), costs=tuple(costs))])
    answer = held("thread-size-safe", results)
    assert answer.numbers.endswith("instructions a hit: none 1,742 to 1,800, thread-size 2,597")
    assert answer.verdict == "holds"
    assert answer.differ == 1


def test_storms_of_two_kernels() -> None:
    storms = (
        StormFound(RUN, "none", 1000, 4, True),
        StormFound(run("6.12"), "none", 500, 1, False),
    )
    answer = held("concurrent", Evidence(storms=storms))
    assert answer.verdict == "holds"
    assert answer.numbers == "up to 4 CPUs at once in 1 of 2 storms, of 1,500 hits"
    assert [(column.found, column.of) for column in answer.measures[0].columns] == [(1, 1), (0, 1)]


def test_what_is_missing_beside_a_verdict_is_said() -> None:
    answer = held("enough-128", evidence({("fixed-128", "stack-25"): {"leak": 8}}))
    assert answer.known
    assert any(command.startswith("jprobe-harness survey") for command in answer.further)


def test_traits_of_the_catalogue() -> None:
    has = {trait: {n for n, traits in KNOWN.cases.items() if trait in traits} for trait in Trait}
    assert "stack-8" in has[Trait.REGISTERS] and "stack-9" not in has[Trait.REGISTERS]
    assert "by-ref-24" in has[Trait.BY_REFERENCE] and "by-ref-24" not in has[Trait.STACKED]
    assert "variadic-stack" in has[Trait.VARIADIC]
    assert "rollback-counter-cpu" in has[Trait.WRITTEN] and "stack-9" not in has[Trait.WRITTEN]
    assert "nested-handler" in has[Trait.NESTED]
    assert not has[Trait.REGISTERS] & (has[Trait.STACKED] | has[Trait.BY_REFERENCE])
    assert all(has.values())


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ([], Exit.AGREES),
        ([Exit.AGREES, Exit.INFRASTRUCTURE], Exit.INFRASTRUCTURE),
        ([Exit.INFRASTRUCTURE, Exit.DIFFERS], Exit.DIFFERS),
        ([Exit.UNJUDGED, Exit.AGREES], Exit.UNJUDGED),
    ],
)
def test_the_worst_status_is_the_pages(statuses: list[Exit], worst: Exit) -> None:
    assert Evidence(tuple(run(status=status) for status in statuses)).exit_status == worst


@pytest.mark.parametrize(
    ("said", "short"),
    [
        ("aarch64-linux-gnu-gcc (Debian 12.2.0-14) 12.2.0", "gcc 12.2.0"),
        ("Debian clang version 14.0.6", "clang 14.0.6"),
        ("gcc", "gcc"),
        ("a compiler", "a compiler"),
    ],
)
def test_a_compiler_in_short(said: str, short: str) -> None:
    assert short_compiler(said) == short
