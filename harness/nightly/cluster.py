# SPDX-License-Identifier: GPL-2.0-only
"""Whoever does a night's units: threads here, or the workers of a Dask scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

from harness.errors import ConfigError, InfrastructureError

CONNECT_SECONDS = 30
# Tries of a unit whose worker was lost.
RETRIES = 2


@contextmanager
def executor(address: str | None, jobs: int) -> Iterator[Executor]:
    """
    So many units at once on this machine, or what a scheduler's workers make of them.

    Each unit is a process of its own in either case.  Raises ConfigError where
    Dask is not installed, InfrastructureError where no scheduler answers.
    """
    if address is None:
        with ThreadPoolExecutor(jobs) as threads:
            yield threads
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError(
            "--cluster needs Dask's distributed, which is not installed.",
            "Install it: pip install 'jprobe-harness[cluster]'",
        ) from error
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InfrastructureError(
            f"No scheduler answers at {address}: {error}.", "Start one: dask scheduler"
        ) from error
    with client:
        # The same unit of another night is not the same: nothing is taken from a memory.
        yield client.get_executor(pure=False, retries=RETRIES)
