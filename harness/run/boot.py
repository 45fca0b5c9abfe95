# SPDX-License-Identifier: GPL-2.0-only
"""One boot of a guest with a plan."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from harness.guest import initramfs, recipe
from harness.guest.deadlines import Deadlines
from harness.guest.initramfs import Channel
from harness.host import blame
from harness.kernel.image import image_size
from harness.kernel.kernel import Bootable, Engine, numbers
from harness.modules.build import Modules
from harness.run import snapshots
from harness.run.logs import Run
from harness.run.observer import Observer
from harness.run.session import Session
from harness.vm.machine import DEFAULT_CONFIG, Config, Machine
from harness.vm.running import running

MINIMAL = "minimal"
# The default CPU model supports pages of 4 and 64 KiB only.
CPU_16K_PAGES = "neoverse-n1"
# Kernels before have no way to renew their random numbers at once.
RENEWING = (5, 10)
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
class Contents:
    """What a guest has besides the kernel and the test modules."""

    # Folders of images/.
    recipes: tuple[str, ...] = (MINIMAL,)
    # A further archive for the initrd.
    added: bytes = b""
    # The channel for records; None for the best one that the guest has.
    channel: Channel | None = None


ONLY_MINIMAL = Contents()


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


def is_cloned(kernel: Bootable, config: Config, contents: Contents) -> bool:
    """Whether a guest goes on from a snapshot; what disks hold is that of one command."""
    if kernel.cold or config.disks:
        return False
    return contents == ONLY_MINIMAL or numbers(kernel.release)[:2] >= RENEWING


@contextmanager
def start(
    setup: Setup,
    contents: Contents = ONLY_MINIMAL,
    plan: Sequence[str] = (),
    *,
    logged: bool = True,
) -> Iterator[Session]:
    """
    Start a guest that waits for a plan or for commands; it is ended on exit.

    It is a clone of one that has booted, unless that is not wanted or not possible.  On a
    serial line it has the `plan` in its initrd, and plays it by itself.
    """
    kernel = setup.kernel
    inside = recipe.load(*contents.recipes)
    initrd, channel = initramfs.cached(kernel, setup.modules, inside, contents.channel)
    initrd += contents.added
    config = setup.observer.prepare(setup.config) if setup.observer else setup.config
    preloaded = bool(plan) and channel is Channel.SERIAL and setup.observer is None
    if preloaded:
        initrd += initramfs.plan(plan)
    session: Session | None = None
    # An OSError here becomes an InfrastructureError, which is retried: no verdict is lost.
    with blame.explaining(), ExitStack() as resources:
        made = machine(kernel, initrd, config)
        begin = functools.partial(_started, setup, initrd, channel, preloaded, logged=logged)
        if channel is Channel.VIRTIO and is_cloned(kernel, config, contents):
            secret = contents != ONLY_MINIMAL
            session = snapshots.resume(made, initrd, begin, resources, secret=secret)
        if session is None:
            session = resources.enter_context(begin(made))
        yield session


class Kept:
    """The guest that is kept from one plan to the next."""

    def __init__(self) -> None:
        # False: the guest of the next plan powers off after it.
        self.more = True
        self._session: Session | None = None
        self._fits: tuple[object, ...] = ()
        self._ends = ExitStack()

    def end(self) -> None:
        """End the guest that is kept, if there is one."""
        self._session = None
        self._ends.close()

    @contextmanager
    def lend(self, setup: Setup, plan: Sequence[str]) -> Iterator[Session]:
        """Do as start(), but give the guest that was kept, and keep the one that is given."""
        fits = (setup.kernel, setup.modules, setup.config, setup.observer)
        session = self._session if self._fits == fits else None
        if session is None:
            self.end()
            session = self._ends.enter_context(start(setup, plan=plan, logged=False))
        self._session, self._fits = None, fits
        try:
            with _logged(session, setup):
                yield session
            if not (session.ended or _is_spent(session)):
                self._session = session
        finally:
            if self._session is None:
                self.end()


@contextmanager
def _logged(session: Session, setup: Setup) -> Iterator[None]:
    """Have a run's logs get what a guest says from now on, after its introduction."""
    running = session.machine
    initrd = running.initrd.read_bytes()
    with setup.logs.boot(running.machine, running.command, initrd) as log:
        log.records.write(session.opening)
        session.log = log
        session.console.log(log.console)
        try:
            yield
        finally:
            session.log = None
            session.console.log(None)


_KEPT: ContextVar[Kept | None] = ContextVar("kept", default=None)


@contextmanager
def keeping() -> Iterator[Kept]:
    """Within, a guest that has played a plan without a fault plays the next one, too."""
    kept = Kept()
    before = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(before)
        kept.end()


def keeps() -> bool:
    """Return whether the guest of the next plan is kept after it."""
    kept = _KEPT.get()
    return bool(kept and kept.more)


def _is_spent(session: Session) -> bool:
    """Return whether a task of the guest's may have been killed with all that it held."""
    return session.console.watcher.survives


@contextmanager
def playing(setup: Setup, plan: Sequence[str]) -> Iterator[Session]:
    """Give a guest for a plan, as start() does; what it played well ends with its power-off."""
    kept = _KEPT.get()
    lent = kept.lend(setup, plan) if kept else start(setup, plan=plan)
    with lent as session:
        yield session
        if _is_spent(session) or not keeps():
            session.power_off()


@contextmanager
def _started(
    setup: Setup, initrd: bytes, channel: Channel, preloaded: bool, machine: Machine,
    logged: bool = True,
) -> Iterator[Session]:  # fmt: skip
    usual = deadlines(setup.kernel, setup.deadlines)
    with running(machine, initrd) as started, ExitStack() as resources:
        log = None
        if logged:
            log = resources.enter_context(setup.logs.boot(machine, started.command, initrd))
        session = Session(started, channel, usual, log=log, preloaded=preloaded)
        yield resources.enter_context(closing(session))
