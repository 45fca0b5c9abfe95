# SPDX-License-Identifier: GPL-2.0-only
"""Log files that are written while a guest runs."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, AnyStr, Generic

# The largest size of a boot's log file; guests normally write far less.
MAX = 64 << 20
CUT = f"\n[what came after {MAX >> 20} MiB was left out]\n"


class LogFile(Generic[AnyStr]):
    """
    A log whose write errors do not end the run.

    A disk that is full takes no verdict with it: `on_failure` is called, once, and what
    comes later is left out.  So is what a guest without end writes, with `cut` in its place.
    """

    def __init__(
        self,
        open_: Callable[[], IO[AnyStr]],
        on_failure: Callable[[OSError], None],
        cut: AnyStr,
    ) -> None:
        self._on_failure: Callable[[OSError], None] = on_failure
        self._cut: AnyStr = cut
        self._left: int = MAX
        self._file: IO[AnyStr] | None = None
        with self._forgiven():
            self._file = open_()

    def __enter__(self) -> LogFile[AnyStr]:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file:
            with self._forgiven():
                self._file.close()

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            file, self._file = self._file, None
            self._on_failure(error)
            # Closing flushes the buffer, which fails again.
            with contextlib.suppress(OSError):
                if file:
                    file.close()

    def write(self, data: AnyStr) -> None:
        if not self._file or self._left < 0:
            return
        with self._forgiven():
            self._file.write(data[: self._left])
            self._left -= len(data)
            if self._left < 0:
                self._file.write(self._cut)

    def flush(self) -> None:
        if self._file:
            with self._forgiven():
                self._file.flush()


class Stamped:
    """Writes each line with the host's time before it."""

    def __init__(self, file: LogFile[bytes] | IO[bytes]) -> None:
        self._file = file
        self._at_start = True

    def write(self, data: bytes) -> None:
        for line in re.findall(rb"[^\n]*\n|[^\n]+", data):
            if self._at_start:
                now = datetime.datetime.now().astimezone()
                stamp = f"{now:%H:%M:%S}.{now.microsecond // 1000:03} "
                self._file.write(stamp.encode())
            self._at_start = line.endswith(b"\n")
            # A console line ends with one or two carriage returns.
            self._file.write(line.rstrip(b"\r\n") + b"\n" * self._at_start)

    def flush(self) -> None:
        self._file.flush()
