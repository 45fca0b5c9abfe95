# SPDX-License-Identifier: GPL-2.0-only
"""Many boots in which a record says something else than happened."""

from __future__ import annotations

import resource
from random import Random, SystemRandom

import pytest

from tests.hostile import check, draw, played

ROUNDS = 20_000
# By then, memory that is needed once, such as for late imports, is allocated.
SETTLED = 5_000
GROWTH_MAX_KIB = 4096


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.full
def test_mutated_records() -> None:
    """No mutated record raises, costs another play its verdict, or lets memory grow."""
    seed = SystemRandom().randrange(1 << 32)
    print("seed", seed)
    random = Random(seed)
    settled = 0
    for number in range(ROUNDS):
        if number == SETTLED:
            settled = _peak_kib()
        mutated = draw(random)
        check(mutated, played(mutated, random))
    assert _peak_kib() - settled < GROWTH_MAX_KIB
