# SPDX-License-Identifier: GPL-2.0-only
"""Whatever a record says, its neighbours are judged and only its own play is blamed."""

from __future__ import annotations

from random import Random, SystemRandom

import pytest

from tests.hostile import RECORDS, Mutated, check, draw, played
from tests.records import changed

ROUNDS = 500


def test_an_honest_guest() -> None:
    result = played(Mutated(0, tuple(RECORDS), sealed=True), Random(0))
    assert not result.differing
    assert result.boots == 1


def test_mutated_records() -> None:
    seed = SystemRandom().randrange(1 << 32)
    print("seed", seed)
    random = Random(seed)
    for _ in range(ROUNDS):
        mutated = draw(random)
        check(mutated, played(mutated, random))


def test_a_wrong_blame_is_red() -> None:
    mutated = Mutated(0, (RECORDS[0], changed(RECORDS[1], "count", hits=2), *RECORDS[2:]), True)
    with pytest.raises(AssertionError):
        check(Mutated(5, mutated.records, sealed=True), played(mutated, Random(0)))
