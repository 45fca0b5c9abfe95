# SPDX-License-Identifier: GPL-2.0-only
"""
What the files of a catalog say, kept in the cache until one of them changes.

Reading all cases takes as long as QEMU takes to start.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from harness import resources
from harness.errors import HarnessError
from harness.host import cache, inventory

T = TypeVar("T")
KIND = "catalogs"
# Each takes some 0.1 MB, and a command uses three.
KEPT = 30
# The folders of our own sources that decide on what is read.
MAKERS = ("abi", "model", "cases", "host/yamlfile")
_OBJECTS = "objects"


def read(files: Sequence[Path], load: Callable[[Path], T]) -> list[T]:
    """Return what `load` makes of each file, which it does only if a file has changed."""
    try:
        return _known(files, load)
    except (HarnessError, OSError):
        # There is no cache, or a file is wrong, of which load() says more.
        return [load(file) for file in files]


def _known(files: Sequence[Path], load: Callable[[Path], T]) -> list[T]:
    """Do as read(), but raise HarnessError or OSError where that is not possible."""
    makers = (path for name in MAKERS for path in sorted((resources.PACKAGE / name).glob("*.py")))
    looks = {path: path.stat() for path in (*files, *makers)}
    if not files or not inventory.settled(looks.values()):
        return [load(file) for file in files]

    def make(folder: Path) -> None:
        (folder / _OBJECTS).write_bytes(pickle.dumps([load(file) for file in files]))

    what = f"{load.__module__}.{load.__qualname__} {sys.version}"
    as_they_are = (f"{str(path)!r} {inventory.look(look)}" for path, look in looks.items())
    key = cache.digest(what, *as_they_are)
    if not cache.has(KIND, key):
        cache.trim(KIND, KEPT - 1, unused_seconds=0)
    folder = cache.used(cache.entry(KIND, key, make))
    # Who can write to the cache can also replace the programs in it that are run.
    found: list[T] = pickle.loads((folder / _OBJECTS).read_bytes())  # noqa: S301
    return found
