# SPDX-License-Identifier: GPL-2.0-only
"""Tracers come and go on one function, while all CPUs are busy: nothing is lost, or left."""

from __future__ import annotations

import pytest

from harness.cases.catalog import Catalog
from harness.inspect.guest import Guest, booted
from harness.kernel.kernel import Kernel
from harness.model.observation import Observation
from harness.modules import build as modules
from harness.modules.casefunctions import symbol
from harness.tracing.described import described
from harness.tracing.function import BPFFS, TRACEFS, mount
from harness.vm.machine import Config

CPUS = 4
CASE = "stack-10"
# Processes begin and end on each CPU.
LOAD = "while :; do /bin/busybox true; done"


class Cycles:
    """A guest in which a kprobe event, a program at the entry and one at the exit come and go."""

    def __init__(self, guest: Guest, catalog: Catalog) -> None:
        self._guest = guest
        self._case = catalog.cases[CASE]
        self._function = symbol(self._case, "target")
        mount(guest)
        self._number = described(guest, ())[self._function].number

    def cycle(self, how: str) -> None:
        """Attach an event and a program, call the function once, and detach both."""
        event = f"p:jp/e {self._function} first=$arg1:x64 last=$stack1:x64"
        begin = (
            f"cd {TRACEFS}; echo '{event}' >>dynamic_events; echo 1 >events/jp/e/enable;"
            f" /bin/busybox mkdir {BPFFS}/jp;"
            f" /bin/trace {how} helper probe_targets {self._number}:{self._case.named}"
        )
        assert self._guest.run(begin, 60).output == "ok\n"
        (record,) = self._guest.play_lines([f"% none 0 {CASE}"])
        assert isinstance(record, Observation)
        assert (record.counts.target, record.new_taint) == (1, 0)
        for index, argument in enumerate(self._case.arguments):
            assert record.arguments[index].seen == argument.value
        first, last = (
            int.from_bytes(self._case.arguments[index].value, "little") for index in (0, -1)
        )
        end = (
            f"cd {TRACEFS}; echo 0 >events/jp/e/enable; /bin/busybox grep -o 'first=.*' trace;"
            f" echo '-:jp/e' >>dynamic_events; echo >trace;"
            f" /bin/trace read; /bin/busybox rm -r {BPFFS}/jp"
        )
        event_read, *program_read = self._guest.run(end, 60).output.splitlines()
        assert event_read == f"first={first:#x} last={last:#x}"
        (call,) = program_read
        slots = call.split()[4:][: self._case.named]
        assert (int(slots[0], 16), int(slots[-1], 16)) == (first, last)


@pytest.mark.full
@pytest.mark.parametrize("kernel", ["debian:7.2"], indirect=True)
def test_nothing_is_lost_or_left(
    kernel: Kernel, catalog: Catalog, request: pytest.FixtureRequest
) -> None:
    # Two are attached at once.
    rounds = request.config.getoption("--cycles") // 2
    built = modules.build(kernel, list(catalog.cases.values()), traced=True)
    with booted(kernel, built, Config(cpus=CPUS)) as guest:
        cycles = Cycles(guest, catalog)
        for cpu in range(CPUS):
            loop = f"/bin/busybox taskset {1 << cpu:x} /bin/busybox sh -c '{LOAD}'"
            guest.run(f"{loop} </dev/null >/dev/null 2>&1 & echo")
        for number in range(rounds):
            cycles.cycle(("fentry", "fexit")[number % 2])
        left = guest.run(f"cd {TRACEFS}; /bin/busybox cat dynamic_events enabled_functions")
        assert left.output == ""
        # A complaint of the kernel's is raised here.
        guest.check()
