# SPDX-License-Identifier: GPL-2.0-only
"""Runs other programs; whatever keeps them from running is one sentence."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import InfrastructureError

DOCTOR = "Run: jprobe-harness doctor --install"
SECONDS = 120


def run(
    command: Sequence[str | Path],
    *,
    seconds: float = SECONDS,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """
    Run a program to its end and return its status and output.

    Raises InfrastructureError when it is not there or takes longer than `seconds`.
    """
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
        )
    except FileNotFoundError as error:
        raise InfrastructureError(f"{command[0]} is not installed.", DOCTOR) from error
    except subprocess.TimeoutExpired as error:
        raise InfrastructureError(
            f"{command[0]} took longer than {seconds:.0f} s.", "The machine may be overloaded."
        ) from error


def check(command: Sequence[str | Path], *, seconds: float = SECONDS) -> str:
    """The output of a program that must succeed."""
    done = run(command, seconds=seconds)
    if done.returncode:
        raise InfrastructureError(
            f"{command[0]} failed with status {done.returncode}: {done.stderr.strip()[-300:]}",
            "Check it with: jprobe-harness doctor",
        )
    return done.stdout
