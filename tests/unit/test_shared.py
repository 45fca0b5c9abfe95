# SPDX-License-Identifier: GPL-2.0-only
"""Who gets which guest, and who learns what it died of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.errors import InfrastructureError, KernelDied
from harness.plugin.shared import Shared


class Fake:
    """A guest that is as it is asked to be."""

    def __init__(self) -> None:
        self.lives = True
        self.dead = False
        self.open = True

    def check(self) -> None:
        if self.dead:
            self.lives = False
            raise KernelDied("a panic")


class Boots:
    """A stand-in for booting, which remembers all guests."""

    def __init__(self) -> None:
        self.guests: list[Fake] = []
        self.failing = False

    @contextmanager
    def __call__(self) -> Iterator[Fake]:
        if self.failing:
            raise InfrastructureError("no boot")
        self.guests.append(Fake())
        try:
            yield self.guests[-1]
        finally:
            self.guests[-1].open = False


def test_one_that_lives_is_shared_and_gone_at_the_end() -> None:
    boots = Boots()
    with Shared(boots) as shared:
        first = shared.take()
        shared.release()
        assert shared.take() is first
        assert first.open
    assert [guest.open for guest in boots.guests] == [False]


def test_whoever_loses_it_learns_of_it_and_the_next_gets_another() -> None:
    boots = Boots()
    with Shared(boots) as shared:
        first = shared.take()
        first.dead = True
        with pytest.raises(KernelDied, match="a panic"):
            shared.release()
        assert not first.open
        second = shared.take()
        assert second is not first
        assert second.open
    assert len(boots.guests) == 2


def test_a_fault_that_was_reported_is_not_reported_again() -> None:
    boots = Boots()
    with Shared(boots) as shared:
        first = shared.take()
        first.dead, first.lives = True, False
        shared.release()
        assert not first.open
        assert shared.take() is not first


def test_a_guest_that_is_found_dead_is_replaced() -> None:
    boots = Boots()
    with Shared(boots) as shared:
        first = shared.take()
        shared.release()
        first.dead = True
        assert shared.take() is not first
        assert not first.open


def test_what_the_end_of_a_guest_explains_is_reported_in_place_of_what_followed() -> None:
    class Unreachable(Fake):
        def check(self) -> None:
            raise InfrastructureError("it does not answer")

    @contextmanager
    def boot() -> Iterator[Fake]:
        try:
            yield Unreachable()
        except InfrastructureError as error:
            raise KernelDied("a panic") from error

    with Shared(boot) as shared:
        shared.take()
        with pytest.raises(KernelDied, match="a panic"):
            shared.release()


def test_a_boot_that_failed_is_tried_again() -> None:
    boots = Boots()
    with Shared(boots) as shared:
        shared.take().dead = True
        boots.failing = True
        with pytest.raises(InfrastructureError, match="no boot"):
            shared.take()
        boots.failing = False
        assert shared.take().open
