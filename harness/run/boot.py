# SPDX-License-Identifier: GPL-2.0-only
"""One boot of a guest with a plan."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harness.guest import initramfs, recipe
from harness.host import blame
from harness.kernel.image import image_size
from harness.kernel.kernel import Bootable, Engine
from harness.modules.build import Modules
from harness.run.logs import Run
from harness.run.observer import Observer
from harness.run.session import Deadlines, Session
from harness.vm.machine import DEFAULT_CONFIG, Config, Machine
from harness.vm.running import running

MINIMAL = "minimal"
HELD_PLAN = "plan.held"
# The default CPU model supports pages of 4 and 64 KiB only.
CPU_16K_PAGES = "neoverse-n1"
# Kernels old enough to have jprobes dump all registers on an unknown system call, and
# busybox's C library tries rseq() at each start.
NO_RSEQ = "GLIBC_TUNABLES=glibc.pthread.rseq=0"
_MIB = 1 << 20
# Memory that a guest needs besides the kernel and its initrd.
_REST_MIB = 128
_STEP_MIB = 64
# Each of these doubles the memory that a kernel needs: KASAN's shadow and quarantine, records
# of each page or object, larger pages.
_HUNGRY = ("CONFIG_KASAN", "CONFIG_DEBUG_KMEMLEAK", "CONFIG_PAGE_OWNER", "CONFIG_ARM64_64K_PAGES")


@dataclass(frozen=True)
class Setup:
    """The settings that all boots of a run have in common."""

    kernel: Bootable
    modules: Modules
    config: Config
    deadlines: Deadlines
    logs: Run
    observer: Observer | None = None


def memory_mib(kernel: Bootable, initrd: bytes) -> int:
    """The memory that a guest needs, from what the kernel and its configuration look like."""
    image = image_size(kernel.image)
    # The initrd is in memory packed and unpacked, and the modules once more.
    needed = _REST_MIB + (2 * image + 4 * len(initrd)) / _MIB
    for option in _HUNGRY:
        if kernel.has(option):
            needed *= 2
    return max(DEFAULT_CONFIG.memory_mib, math.ceil(needed / _STEP_MIB) * _STEP_MIB)


def deadlines(kernel: Bootable, usual: Deadlines) -> Deadlines:
    """Those of a guest that the kernel boots in."""
    if kernel.boot_seconds is None:
        return usual
    return dataclasses.replace(usual, boot=kernel.boot_seconds)


def machine(kernel: Bootable, initrd: bytes, config: Config = DEFAULT_CONFIG) -> Machine:
    """A machine that the kernel can boot on."""
    config = dataclasses.replace(config, memory_mib=kernel.memory_mib or memory_mib(kernel, initrd))
    if kernel.has("CONFIG_ARM64_16K_PAGES"):
        config = dataclasses.replace(config, cpu=CPU_16K_PAGES)
    if kernel.engine is Engine.NATIVE:
        config = dataclasses.replace(config, append=f"{NO_RSEQ} {config.append}".strip())
    return Machine(kernel.image, config)


@contextmanager
def start(setup: Setup, lines: Sequence[str]) -> Iterator[Session]:
    """Start a boot of a run with a plan's lines; the guest is ended on exit."""
    kernel, modules = setup.kernel, setup.modules
    initrd, channel = initramfs.cached(kernel, modules, recipe.load(MINIMAL))
    config = setup.config
    if setup.observer:
        # An observed guest plays when it is asked to; any other at once.
        initrd += initramfs.plan(lines, HELD_PLAN)
        config = setup.observer.prepare(config)
    else:
        initrd += initramfs.plan(lines)
    with (
        # An OSError here becomes an InfrastructureError, which is retried: no verdict is lost.
        blame.explaining(),
        running(machine(kernel, initrd, config), initrd) as started,
        setup.logs.boot(started.machine, started.command, initrd, lines) as log,
    ):
        yield Session(started, channel, deadlines(kernel, setup.deadlines), log=log)
