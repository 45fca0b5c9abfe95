# SPDX-License-Identifier: GPL-2.0-only
"""What the program does and how long it takes, for --verbose and --log-file."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOG = logging.getLogger("harness")
# Without options, nothing is printed: not even what logging prints as a last resort.
LOG.addHandler(logging.NullHandler())


@contextmanager
def step(what: str, level: int = logging.INFO) -> Iterator[None]:
    """Log what is done at its end with its seconds, and in detail also at its begin."""
    LOG.debug("%s ...", what)
    begin = time.monotonic()
    try:
        yield
    except BaseException as error:
        LOG.log(level, "%s: %s after %.3f s", what, type(error).__name__, time.monotonic() - begin)
        raise
    LOG.log(level, "%s: %.3f s", what, time.monotonic() - begin)
