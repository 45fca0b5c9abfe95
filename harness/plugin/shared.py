# SPDX-License-Identifier: GPL-2.0-only
"""One guest for many users, one after another; a new one is booted where it died."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from harness.errors import HarnessError


class Checked(Protocol):
    """A guest whose health can be checked."""

    @property
    def lives(self) -> bool:
        """Whether it died or hung, and that was not reported yet."""

    def check(self) -> None:
        """Raise what the kernel did wrong and was not reported yet; the guest has to answer."""


T = TypeVar("T", bound=Checked)


class Shared(Generic[T]):
    """Boots a guest on entry, and again when it was lost; ends it on exit."""

    def __init__(self, boot: Callable[[], AbstractContextManager[T]]) -> None:
        self._boot = boot
        self._guest: T | None = None
        self._resources = ExitStack()

    def __enter__(self) -> Shared[T]:
        self.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._guest = None
        self._resources.__exit__(kind, value, traceback)

    def take(self) -> T:
        """Return a guest that answers; raises whatever booting one raises."""
        # What it died of is not the fault of this user.
        with suppress(HarnessError):
            self.release()
        if self._guest is None:
            self._guest = self._resources.enter_context(self._boot())
        return self._guest

    def release(self) -> None:
        """Give up a guest that was lost; raises what it was lost of, unless that was reported."""
        if self._guest is None:
            return
        with ExitStack() as lost:
            lost.push(self)
            if self._guest.lives:
                self._guest.check()
                lost.pop_all()
