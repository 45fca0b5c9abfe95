# SPDX-License-Identifier: GPL-2.0-only
"""What a night remembers of a cell: where it is damaged, and the bytes there."""

from __future__ import annotations

import pytest

from harness.catalog import Catalog
from harness.model.verdict import judge
from harness.nightly.perform import _cell
from harness.nightly.unit import Cell
from harness.run.plan import Outcome, plays
from tests.unit.factory import observe


def remembered(case: str, variant: str) -> Cell:
    catalog = Catalog()
    (play,) = plays(catalog.select_variants([variant]), catalog.select_cases([case]))
    policy = play.variant.policy
    return _cell(Outcome(play, judge(play.case, policy, observe(play.case, policy))))


@pytest.mark.parametrize(
    ("case", "variant", "damage", "looked_at"),
    [
        ("stack-9", "none", {"argument 8": [[0, 8]]}, {"area"}),
        ("by-ref-24", "none", {"argument 1": [[0, 24]]}, {"argument 1"}),
        # Of the two pointers, the upper halves are those of any address there.
        (
            "rollback-list-handler",
            "thread-size",
            {"object": [[0, 4], [8, 12]]},
            {"area", "object"},
        ),
    ],
)
def test_bytes_and_damage_of_a_place_have_its_name(
    case: str, variant: str, damage: dict[str, list[list[int]]], looked_at: set[str]
) -> None:
    cell = remembered(case, variant)
    assert cell.damage == damage
    assert set(cell.looks) == looked_at
    for look in cell.looks.values():
        assert look["predicted"] == look["seen"]
