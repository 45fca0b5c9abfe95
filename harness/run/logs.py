# SPDX-License-Identifier: GPL-2.0-only
"""Where each run keeps its console logs, plans and QEMU command lines."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import platformdirs

KEPT = 20


def new_folder() -> Path:
    """A folder for one run; the oldest ones are removed."""
    runs = platformdirs.user_state_path("jprobe-harness") / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    prefix = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=runs))
    for old in sorted(runs.iterdir())[:-KEPT]:
        if not _is_running(old):
            shutil.rmtree(old, ignore_errors=True)
    return folder


def _is_running(folder: Path) -> bool:
    """The process that the folder is named after may still write to it."""
    words = folder.name.split("-")
    return len(words) > 2 and Path("/proc", words[2]).exists()
