# SPDX-License-Identifier: GPL-2.0-only
"""Files that the user gives, each read once: it may be a pipe, as of `--patch <(git diff)`."""

from __future__ import annotations

import functools

from harness import home
from harness.errors import ConfigError


@functools.cache
def read(name: str) -> bytes:
    """What a file has, or had when it was read first; raises ConfigError."""
    try:
        return home.expanded(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}.") from error
