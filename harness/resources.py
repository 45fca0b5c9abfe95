# SPDX-License-Identifier: GPL-2.0-only
"""Where the data that travels with the package lies."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def own_sources(names: Iterable[str]) -> list[bytes]:
    """Modules of the package, by path: part of the key of what they make."""
    return [(PACKAGE / name).read_bytes() for name in names]


@functools.cache
def data_root() -> Path:
    """The folder with configs, kernel-modules and images."""
    installed = PACKAGE / "data"
    return installed if installed.is_dir() else PACKAGE.parent


def configs() -> Path:
    return data_root() / "configs"


def kernel_modules() -> Path:
    return data_root() / "kernel-modules"


def images() -> Path:
    return data_root() / "images"
