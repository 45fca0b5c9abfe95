# SPDX-License-Identifier: GPL-2.0-only
"""Whatever ends the command, no QEMU is left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from harness.host.stopping import SIGNALS
from harness.kernel.kernel import Kernel


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def start(kernel: Kernel) -> tuple[subprocess.Popen[str], int]:
    """Start the command; return it once it has started QEMU, with a pidfd of QEMU."""
    process = subprocess.Popen(
        ["jprobe-harness", "repro", "--kernel", kernel.spec],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (found := children(process.pid)):
        assert process.poll() is None
    return process, os.pidfd_open(found[0])


def ended(pidfd: int, seconds: float = 10) -> bool:
    return bool(select.select([pidfd], [], [], seconds)[0])


@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGKILL])
def test_no_qemu_is_left(kernel: Kernel, number: signal.Signals) -> None:
    process, qemu = start(kernel)
    try:
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert ended(qemu)
    finally:
        # A QEMU that is left fails the test, and is not left by it.
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(qemu, signal.SIGKILL)
        os.close(qemu)
    if number != signal.SIGKILL:
        assert process.returncode == 3, err
        assert "Traceback" not in err
        how = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
        assert how in out + err
