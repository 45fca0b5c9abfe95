# SPDX-License-Identifier: GPL-2.0-only
"""The tutorial, followed literally from an empty folder."""

from __future__ import annotations

import os
from pathlib import Path

from tests import pages

SECONDS = 3600


def test_it_goes_as_it_says(tmp_path: Path) -> None:
    fresh = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_STATE_HOME": str(tmp_path / "state")}
    folder = tmp_path / "home"
    folder.mkdir()
    pages.follow("tutorial", folder, SECONDS, {**os.environ, **fresh})
