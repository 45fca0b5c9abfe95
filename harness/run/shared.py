# SPDX-License-Identifier: GPL-2.0-only
"""One guest for many users, one after another; whoever would find it dead gets another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from harness.errors import HarnessError


class Checked(Protocol):
    """A guest that can be asked how it is."""

    @property
    def lives(self) -> bool:
        """Whether it died or hung, and that was not reported yet."""

    def check(self) -> None:
        """Raise what the kernel did wrong and was not reported yet; the guest has to answer."""


T = TypeVar("T", bound=Checked)


class Shared(Generic[T]):
    """Boots on entry, and again where the guest was lost; the guest is gone on exit."""

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
        """A guest that answers; raises whatever booting one raises."""
        # What it is lost of by now is no fault of who takes it.
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
