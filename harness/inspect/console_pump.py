# SPDX-License-Identifier: GPL-2.0-only
"""A thread that reads a guest's output, as a guest and its QEMU block without a reader."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from types import TracebackType

from harness.errors import InfrastructureError
from harness.run.session import Session


class ConsolePump:
    """Reads a guest's output in a thread of its own, while the caller does something else."""

    def __init__(self, session: Session, attend: Callable[[], object]) -> None:
        self._session = session
        self._attend = attend
        self._stop, self._stopping = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: BaseException | None = None

    def __enter__(self) -> ConsolePump:
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            while not self._session.ended:
                ready, _, _ = select.select([self._session.fileno(), self._stop], [], [])
                if self._stop in ready:
                    return
                self._attend()
        except BaseException as error:
            self._failure = error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise the guest's fault in place of an error that followed from it."""
        if isinstance(value, InfrastructureError):
            # The error may have come because QEMU is ending, so wait for that.
            self._thread.join(self._session.deadlines.end if self._session.console.dead else 0)
        os.write(self._stopping, b".")
        self._thread.join()
        os.close(self._stop)
        os.close(self._stopping)
        if self._failure and (value is None or isinstance(value, InfrastructureError)):
            raise self._failure from value
        if self._session.ended and isinstance(value, InfrastructureError):
            self._session.check_end()
