# SPDX-License-Identifier: GPL-2.0-only
"""Test cases and groups of them, as JUnit XML and KTAP both have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Test:
    """What was held against a prediction, or against an accepted run."""

    # A name of one word, and the result in a few words.
    name: str
    seen: str
    # The reasons why it fails; empty if it passes.
    reasons: tuple[str, ...] = ()
    # Whether it could not be judged, through no fault of the kernel's.
    error: bool = False
    # Why there is nothing to hold it against; it then neither passes nor fails.
    skipped: str = ""


@dataclass(frozen=True)
class Group:
    """Tests under one name, or further groups."""

    name: str
    members: tuple[Test | Group, ...]

    @property
    def tests(self) -> Iterator[Test]:
        """Yield the tests of this group and of those in it."""
        for one in self.members:
            if isinstance(one, Group):
                yield from one.tests
            else:
                yield one
