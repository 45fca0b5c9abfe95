# SPDX-License-Identifier: GPL-2.0-only
"""The command as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

REPRO_SECONDS = 3600


def repro(folder: Path, *words: str | os.PathLike[str]) -> tuple[int, str, dict[str, Any]]:
    """Run repro in `folder`; return its exit status, its output and the JSON document."""
    out = folder / "out.json"
    done = subprocess.run(
        ["jprobe-harness", "repro", "--json", out, *words],
        capture_output=True,
        text=True,
        timeout=REPRO_SECONDS,
    )
    document = json.loads(out.read_text()) if out.exists() else {}
    return done.returncode, done.stdout + done.stderr, document
