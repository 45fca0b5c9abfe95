# SPDX-License-Identifier: GPL-2.0-only
"""A Dask scheduler and its workers, started by Dask's own commands."""

from __future__ import annotations

import json
import select
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

SECONDS = 60
WORKERS = 2


class Cluster:
    """A running cluster; revive() starts again what has died of it."""

    def __init__(
        self, folder: Path, workers: int = WORKERS, environment: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._count = workers
        self._environment = environment
        self._resources = ExitStack()
        self.scheduler: subprocess.Popen[str]
        self.workers: list[subprocess.Popen[str]] = []
        self.address = ""

    def __enter__(self) -> Cluster:
        self._start_scheduler()
        self.revive()
        return self

    def __exit__(self, *exception: object) -> None:
        self._resources.close()

    def revive(self) -> None:
        """Start the scheduler and the workers that have died, as an operator would."""
        if self.scheduler.poll() is not None:
            # The workers may wait long for the scheduler that died.
            for worker in self.workers:
                worker.kill()
                worker.wait(SECONDS)
            self._start_scheduler()
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < self._count:
            self.workers.append(
                self._start(
                    "worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
                    "--local-directory", str(self._folder), until="Registered to:",
                )
            )  # fmt: skip

    def _start_scheduler(self) -> None:
        file = self._folder / "scheduler.json"
        file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(file), until="Scheduler at:",
        )  # fmt: skip
        deadline = time.monotonic() + SECONDS
        while not file.exists() and time.monotonic() < deadline:
            select.select([], [], [], 0.1)
        self.address = json.loads(file.read_text())["address"]

    def _start(self, *words: str, until: str) -> subprocess.Popen[str]:
        """Start one of Dask's commands, and return it once it has printed `until`."""
        log = self._folder / f"{words[0]}-{time.monotonic_ns()}.log"
        with log.open("w") as file:
            process = self._resources.enter_context(
                subprocess.Popen(["dask", *words], stderr=file, text=True, env=self._environment)
            )
        self._resources.callback(process.kill)
        deadline = time.monotonic() + SECONDS
        while until not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"dask {words[0]} is not ready"
            select.select([], [], [], 0.05)
        return process
