# SPDX-License-Identifier: GPL-2.0-only
"""How each work is done on one kernel."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from harness.cases.catalog import Catalog
from harness.errors import ConfigError
from harness.guest import initramfs, recipe
from harness.host import temporary
from harness.kernel.kernel import Bootable
from harness.measure.bench import command, panic
from harness.measure.bench.command import HARNESS, Timed
from harness.measure.bench.rounds import Taker
from harness.measure.bench.rows import BARE, PANIC, REAL, WORKS, Row, Work
from harness.modules.build import Modules
from harness.prototypes.probed import lacking
from harness.run import boot
from harness.run.session import Session
from harness.vm.running import running

BARE_SECONDS = 600


@dataclass(frozen=True)
class Place:
    """What all works run on."""

    # With the memory that a guest with the test modules gets.
    kernel: Bootable
    modules: Modules
    # The options that name this kernel on a command line.
    options: tuple[str, ...]


def place(kernel: Bootable, modules: Modules, options: Sequence[str]) -> Place:
    """Return where works run; a bare boot has the memory that the others have."""
    initrd, _ = initramfs.cached(kernel, modules, recipe.load(boot.MINIMAL))
    mib = kernel.memory_mib or boot.memory_mib(kernel, initrd)
    return Place(replace(kernel, memory_mib=mib), modules, tuple(options))


def playable(rows: Sequence[Row], kernel: Bootable, catalog: Catalog, *, named: bool) -> list[Row]:
    """
    Leave out rows of real cells where the kernel has none of their functions.

    Raises ConfigError where that leaves out a row that was named.
    """
    real = [row for row in rows if WORKS[row.work].real]
    if not real:
        return list(rows)
    cases = catalog.select_cases([REAL])
    missing = lacking(kernel, cases)
    if len(missing) < len(cases):
        return list(rows)
    if named:
        raise ConfigError(
            f"There is no row '{real[0].name}' of {kernel.spec}: {missing[cases[0].name]}.",
            "Choose other rows, or another kernel.",
        )
    return [row for row in rows if row not in real]


def needed(rows: Sequence[Row], place: Place) -> dict[str, Taker]:
    """Return how the works that some rows need are measured, in the order of WORKS."""
    names = {name for row in rows for name in (row.work, row.beside)} | {BARE}
    return {name: _taker(work, place) for name, work in WORKS.items() if name in names}


def _taker(work: Work, place: Place) -> Taker:
    if work.name == BARE:
        return Taker(functools.partial(bare, place.kernel))
    if work.name == PANIC:
        return Taker(functools.partial(panic.run, place.kernel, place.modules))
    line = words(work, place)
    return Taker(
        functools.partial(command.run, line),
        functools.partial(command.memory, line),
        work.verdicts,
    )


def words(work: Work, place: Place) -> list[str]:
    """Return the command line of a work."""
    return [*HARNESS, *work.words, *place.options]


def bare(kernel: Bootable) -> Timed:
    """Boot to power-off with nothing in between."""
    initrd = initramfs.bare(kernel)
    start = time.monotonic()
    with running(boot.machine(kernel, initrd), initrd) as started:
        session = Session(started)
        session.wait(BARE_SECONDS)
        session.check_end()
        return Timed(time.monotonic() - start)


@contextmanager
def own_logs() -> Iterator[None]:
    """Keep the logs of what is timed apart: of the user's own runs only the last ones are kept."""
    variable = "XDG_STATE_HOME"
    before = os.environ.get(variable)
    with temporary.folder() as folder:
        os.environ[variable] = str(folder)
        try:
            yield
        finally:
            if before is None:
                del os.environ[variable]
            else:
                os.environ[variable] = before
