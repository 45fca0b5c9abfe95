# SPDX-License-Identifier: GPL-2.0-only
"""The expected bytes are those that a faithful guest sees."""

from __future__ import annotations

import pytest

from harness.abi.ctype import VA_LIST
from harness.cases.catalog import Catalog
from harness.measure.expected import arrives
from harness.model.case import Case
from harness.model.policy import save
from harness.model.verdict import judge
from tests.unit.factory import HIT, observe

CATALOG = Catalog()
CASES = [
    case
    for case in CATALOG.cases.values()
    if all(argument.type != VA_LIST for argument in case.arguments)
]


def named(case: Case) -> set[int]:
    """Return the offsets from SP of the bytes that belong to an argument in all their bits."""
    return {
        placement.stack + offset
        for argument, placement in zip(case.arguments, case.layout.placements)
        if placement.stack is not None and not placement.by_reference
        if argument.flip_mask == 0xFF
        for offset in argument.type.value_bytes
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_byte_that_the_model_names(case: Case) -> None:
    for variant in CATALOG.variants.values():
        seen = observe(case, variant.policy)
        verdict = judge(case, variant.policy, seen)
        found = arrives(verdict)
        if save(variant.policy, HIT) is None:
            assert set(found) <= {"object"}
            continue
        arrived = found.get("area", b"")
        assert seen.area.seen is not None
        assert len(arrived) == len(seen.area.seen)
        # Padding, which the factory's handler also changes, is left out.
        for offset in named(case):
            assert arrived[offset] == seen.area.seen[offset]
        for place, data in found.items():
            if place.startswith("argument "):
                assert data == seen.arguments[int(place.split()[1])].seen
        if seen.object:
            assert found["object"] == seen.object.seen
