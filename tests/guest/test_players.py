# SPDX-License-Identifier: GPL-2.0-only
"""Several guests at once see what one sees, and whatever ends one of them is reported."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit, InfrastructureError
from harness.host import tool
from harness.kernel.kernel import Kernel
from harness.measure import fuzz
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.run import players, repro
from harness.run.result import Result

COUNT = 350


@pytest.fixture
def built(kernel: Kernel) -> Modules:
    return modules.build(kernel, [])


def played(kernel: Kernel, built: Modules, jobs: int, count: int = COUNT) -> Result:
    variants = list(Catalog().variants.values())
    with players.playing(jobs):
        return repro.run(kernel, built, fuzz.plays(7, range(count), variants, 0))


def plays(pid: int) -> bool:
    try:
        return players.__name__.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_more_guests_see_the_same(kernel: Kernel, built: Modules) -> None:
    one, three = (played(kernel, built, jobs) for jobs in (1, 3))
    assert (one.boots, three.boots) == (1, 3)
    assert (len(three.outcomes), three.exit_status) == (COUNT, Exit.AGREES)
    assert [str(o.play) for o in three.outcomes] == [str(o.play) for o in one.outcomes]
    assert list(map(fuzz.fingerprint, three.outcomes)) == list(map(fuzz.fingerprint, one.outcomes))


def test_a_player_that_dies(kernel: Kernel, built: Modules) -> None:
    # Programs of other tests, which may have ended and not been waited for.
    before = set(tool.descendants(os.getpid()))

    def kill() -> None:
        while not (found := [pid for pid in tool.descendants(os.getpid()) if plays(pid)]):
            time.sleep(0.01)
        os.kill(found[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(InfrastructureError, match="plays ended with status -9"):
        # More than it plays before it is killed.
        played(kernel, built, 2, count=20_000)
    killer.join()
    assert set(tool.descendants(os.getpid())) <= before


@pytest.fixture
def fuzzing(kernel: Kernel) -> Iterator[subprocess.Popen[str]]:
    words = ["fuzz", "--kernel", kernel.spec, "--count=100000", "--compiled=0", "-j2"]
    with subprocess.Popen(
        ["jprobe-harness", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left(fuzzing: subprocess.Popen[str], number: signal.Signals) -> None:
    # Two players, each with a QEMU.
    while len(found := list(tool.descendants(fuzzing.pid))) < 4:
        assert fuzzing.poll() is None
        time.sleep(0.01)
    ends = [os.pidfd_open(pid) for pid in found]
    fuzzing.send_signal(number)
    out, err = fuzzing.communicate(timeout=60)
    try:
        assert all(select.select([end], [], [], 10)[0] for end in ends)
    finally:
        for end in ends:
            os.close(end)
    if number == signal.SIGINT:
        assert fuzzing.returncode == Exit.INFRASTRUCTURE
        assert "of 100000 signatures were judged" in out + err
        assert "Traceback" not in err
