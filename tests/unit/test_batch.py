# SPDX-License-Identifier: GPL-2.0-only
"""Our own failures are made up for once, and no more; an unfit QEMU never is."""

from __future__ import annotations

from typing import Any, cast

from harness.cases.catalog import Catalog
from harness.errors import MachineError, UnfitEmulator
from harness.guest.records import Refusal
from harness.measure import storm
from harness.model.storm import Storm
from harness.run.batch import RETRIES, Boots, Tries


def test_a_failure_is_made_up_for_once() -> None:
    tries = Tries()
    failure = MachineError("QEMU fell over.", "Try again.")
    assert [tries.again(failure) for _ in range(RETRIES + 1)] == [True] * RETRIES + [False]
    assert tries.retried == [failure.sentence] * RETRIES
    assert tries.errors == [str(failure)]


def test_a_qemu_that_will_not_do_is_not_tried_again() -> None:
    tries = Tries()
    assert not tries.again(UnfitEmulator("It is too old.", "Install another."))
    assert (tries.retried, len(tries.errors)) == ([], 1)


def test_only_the_answer_to_its_line_is_judged() -> None:
    variant = Catalog().variants["none"]
    trial = storm._Storms(2, 100)
    boots = Boots(cast(Any, None), trial, [variant])
    line = trial.line(variant)
    other = boots._outcome(variant, Storm(1, "~ fixed 64 100", 100, 0, 0, 0, {}, (), 0), None)
    assert other.reasons == ("The guest played '~ fixed 64 100'.",)
    refused = boots._outcome(variant, Refusal(1, line, "no such policy"), None)
    assert refused.reasons == ("The guest did not play it: no such policy",)
    judged = boots._outcome(variant, Storm(1, line, 100, 0, 0, 0, {}, (), 0), None)
    assert judged.storm is not None
