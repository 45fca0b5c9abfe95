# SPDX-License-Identifier: GPL-2.0-only
"""Deadlines are longer where a guest is slower."""

from __future__ import annotations

from harness.guest.deadlines import DEFAULT_DEADLINES, USUAL_BOOT_SECONDS, Deadlines


def test_a_slow_machine_gets_more_time() -> None:
    slow = DEFAULT_DEADLINES.on(3 * USUAL_BOOT_SECONDS)
    assert vars(slow) == {name: 3 * value for name, value in vars(DEFAULT_DEADLINES).items()}
    assert DEFAULT_DEADLINES.on(USUAL_BOOT_SECONDS / 3) == DEFAULT_DEADLINES


def test_what_a_user_asks_for_stays() -> None:
    asked = Deadlines(play=1)
    assert asked.on(9 * USUAL_BOOT_SECONDS).play == 1
    assert asked.on(9 * USUAL_BOOT_SECONDS).boot == 9 * DEFAULT_DEADLINES.boot
