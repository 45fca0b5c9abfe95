# SPDX-License-Identifier: GPL-2.0-only
"""Files that the user gives, each read once: it may be a pipe, as of `--patch <(git diff)`."""

from __future__ import annotations

import functools
from pathlib import Path

from harness import blame, home


@functools.cache
def read(name: str) -> bytes:
    """What a file has, or had when it was read first; raises what blame.unreadable() makes."""
    try:
        return home.expanded(name).read_bytes()
    except OSError as error:
        raise blame.unreadable(Path(name), error) from error
