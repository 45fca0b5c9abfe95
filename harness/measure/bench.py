# SPDX-License-Identifier: GPL-2.0-only
"""
Measures the whole job against a bare boot of the same kernel, in pairs.

Absolute times on a shared machine are noise; the ratio of two runs, one right after
the other, is not.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from statistics import median

from harness import settings
from harness.cases.catalog import Catalog
from harness.errors import InfrastructureError
from harness.guest import initramfs
from harness.host import tool
from harness.kernel import spec
from harness.kernel.kernel import Bootable
from harness.kernel.options import Options
from harness.run import boot
from harness.run.session import Session
from harness.steps import progress
from harness.vm.running import running

RUN_SECONDS = 600

# Runs the command as a user would, then prints its own peak, without QEMU's.
_CHILD = """\
import sys
from harness.cli import main
from harness.vm.running import running
status = main(sys.argv[2:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
open(sys.argv[1], "w").write(peak.split()[1])
sys.exit(status)
"""


@dataclass(frozen=True)
class Row:
    """One thing that was timed: seconds of each run, and their ratio to the bare boot."""

    name: str
    # Median wall time.
    seconds: float
    # Median over the pairs of this run's time divided by the bare boot's.
    ratio_to_bare: float
    # Largest resident set of the harness process; None for a bare boot, which has none.
    peak_mib: float | None


def bare(kernel: Bootable) -> float:
    """Boot to power-off with nothing in between; seconds."""
    initrd = initramfs.bare(kernel)
    start = time.perf_counter()
    with running(boot.machine(kernel, initrd), initrd) as started:
        session = Session(started)
        session.wait(RUN_SECONDS)
        session.check_end()
        return time.perf_counter() - start


def repro(kernel_spec: str) -> tuple[float, float]:
    """Run all cases and variants by the command; return seconds, and its own peak in MiB."""
    with tempfile.NamedTemporaryFile("r") as peak:
        start = time.perf_counter()
        done = tool.run(
            [
                sys.executable, "-c", _CHILD, peak.name,
                "repro", "--kernel", kernel_spec, "--json", "/dev/null",
            ],
            # The child is this program, so it inherits the environment.
            environment=os.environ,
            seconds=RUN_SECONDS,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        if done.returncode:
            raise InfrastructureError(
                f"The timed run ended with status {done.returncode}.",
                done.stdout[-500:] + done.stderr[-500:],
            )
        return seconds, int(peak.read()) / 1024


def measure(
    kernel_spec: str,
    runs: int,
    *,
    options: Options,
) -> list[Row]:
    """Time `runs` pairs, after one unmeasured run of each that fills the caches."""
    kernel = spec.resolve(kernel_spec, Catalog(), settings.load(), options=options)
    pairs = []
    for done in range(runs + 1):
        progress("paired runs", done, runs)
        pairs.append((bare(kernel), repro(kernel_spec)))
    pairs = pairs[1:]
    return [
        Row("bare", median(alone for alone, _ in pairs), 1.0, None),
        Row(
            "repro",
            seconds=median(seconds for _, (seconds, _) in pairs),
            ratio_to_bare=median(seconds / alone for alone, (seconds, _) in pairs),
            peak_mib=max(peak for _, (_, peak) in pairs),
        ),
    ]
