# SPDX-License-Identifier: GPL-2.0-only
"""The location of the data files that are installed with the package."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def own_sources(names: Iterable[str]) -> list[bytes]:
    """Return the sources of modules of the package, for the cache key of what they make."""
    return [(PACKAGE / name).read_bytes() for name in names]


@functools.cache
def data_root() -> Path:
    """Return the folder that contains configs, kernel-modules and images."""
    installed = PACKAGE / "data"
    return installed if installed.is_dir() else PACKAGE.parent


def configs() -> Path:
    return data_root() / "configs"


def kernel_modules() -> Path:
    return data_root() / "kernel-modules"


def images() -> Path:
    return data_root() / "images"
