# SPDX-License-Identifier: GPL-2.0-only
"""Our own failures are made up for once, and no more; an unfit QEMU never is."""

from __future__ import annotations

from harness.errors import MachineError, UnfitEmulator
from harness.run.batch import RETRIES, Tries


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
