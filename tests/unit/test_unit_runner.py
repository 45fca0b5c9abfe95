# SPDX-License-Identifier: GPL-2.0-only
"""What a nightly run remembers of a cell: where it is damaged, and the bytes there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.cases.catalog import Catalog
from harness.model.policy import Hit
from harness.model.verdict import judge
from harness.nightly.unit import Cell
from harness.nightly.unit_runner import _cell
from harness.run.plan import Outcome, plays
from tests.unit.factory import HIT, observe


def remembered(case: str, variant: str, guest: str = "", hit: Hit = HIT) -> Cell:
    """Return the stored cell of a guest that follows `guest`, in place of the variant."""
    catalog = Catalog()
    (play,) = plays(catalog.select_variants([variant]), catalog.select_cases([case]))
    (done,) = catalog.select_variants([guest or variant])
    seen = observe(play.case, done.policy, hit)
    return _cell(Outcome(play, judge(play.case, play.variant.policy, seen)))


@pytest.mark.parametrize(
    ("case", "variant", "damage", "looked_at"),
    [
        ("stack-9", "none", {"argument 8": [[0, 8]]}, {"area"}),
        ("by-ref-24", "none", {"argument 1": [[0, 24]]}, {"argument 1"}),
        # The upper halves of the two pointers are the same as before.
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


@pytest.mark.parametrize(
    ("case", "variant", "guest", "saved", "corrupt"),
    [
        ("stack-10", "fixed:8", "fixed:8", 8, [(8, 16)]),
        # The guest saved less, or more, than was predicted.
        ("stack-10", "fixed-128", "fixed:8", 8, [(8, 16)]),
        ("stack-10", "fixed:8", "fixed-128", 128, []),
        ("rollback-counter-handler", "none", "thread-size", 4096, [(512, 520)]),
    ],
)
def test_a_picture_shows_the_run(
    case: str, variant: str, guest: str, saved: int, corrupt: list[tuple[int, int]]
) -> None:
    cell = remembered(case, variant, guest)
    assert cell.agrees == (variant == guest)
    assert cell.picture
    assert (cell.picture.saved, cell.picture.corrupt) == (saved, corrupt)


def test_a_picture_of_what_is_in_no_window() -> None:
    """A stacked word, and the copy that it has the address of; the guest says only how many."""
    picture = remembered("by-ref-address-stacked", "signature").picture
    assert picture
    assert (picture.saved, picture.spans) == (56, [(0, 8), (512, 552), (8, 16)])
    picture = remembered("by-ref-address-stacked", "signature", "fixed:8").picture
    assert picture
    assert (picture.saved, picture.spans) == (8, None)


def test_a_picture_of_a_handler_that_was_skipped() -> None:
    picture = remembered("stack-9", "fp-delta", hit=replace(HIT, fp=16)).picture
    assert picture
    assert (picture.saved, picture.corrupt) == (-1, [])
