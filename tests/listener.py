# SPDX-License-Identifier: GPL-2.0-only
"""A listener that keeps what it was called with."""

from __future__ import annotations

from harness.steps import Listener


class Heard(Listener):
    """Keeps the progress that was reported, as (task, done, total)."""

    def __init__(self) -> None:
        self.progressed: list[tuple[str, float, float]] = []
        self.boots = 0

    def progress(self, what: str, done: float, total: float) -> None:
        self.progressed.append((what, done, total))

    def booting(self) -> None:
        self.boots += 1
