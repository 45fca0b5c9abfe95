# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that nobody built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.kernel.kernel import Kbuild, Kernel


def made_up(folder: Path, **fields: Any) -> Kernel:
    """A kernel of which everything lies in a folder, unless `fields` say otherwise."""
    places = dict.fromkeys(("image", "modules", "busybox"), folder)
    given: dict[str, Any] = {
        "spec": "some:kernel",
        "release": "6.1",
        "version": "6.1-1",
        "config": folder / "config",
        "key": "k",
        "kbuild": Kbuild(folder=folder, home=folder),
    }
    return Kernel(**{**places, **given, **fields})
