# SPDX-License-Identifier: GPL-2.0-only
"""One boot of a guest with a plan."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.guest import initramfs
from harness.kernel.kernel import Kernel
from harness.kernel.modules import Modules
from harness.run.session import Deadlines, Session
from harness.vm.machine import Config, Machine

HELD_PLAN = "plan.held"


@dataclass(frozen=True)
class Setup:
    """What all boots of a run have in common."""

    kernel: Kernel
    modules: Modules
    config: Config
    deadlines: Deadlines
    # GDB looks on.
    witness: bool
    # Folder for console logs, plans and QEMU command lines.
    logs: Path


@contextmanager
def start(setup: Setup, number: int, lines: Sequence[str]) -> Iterator[Session]:
    """Start boot `number` of a run with a plan's lines; the guest is gone on exit."""
    kernel, modules, logs = setup.kernel, setup.modules, setup.logs
    initrd, channel = initramfs.cached_minimal(kernel, modules.files, modules.key)
    # Alone, the guest plays at once; before a witness, when that is ready.
    initrd += initramfs.plan(lines, HELD_PLAN) if setup.witness else initramfs.plan(lines)
    config = dataclasses.replace(setup.config, gdb=setup.witness)
    with (
        Machine(kernel.image, initrd, config) as machine,
        (logs / f"console-{number}.log").open("w", encoding="utf-8") as log,
    ):
        (logs / f"command-{number}").write_text(f"{shlex.join(machine.command)}\n")
        (logs / f"plan-{number}").write_text("".join(f"{line}\n" for line in lines))
        yield Session(machine, channel, setup.deadlines, log=log)
