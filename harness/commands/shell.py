# SPDX-License-Identifier: GPL-2.0-only
"""Opens a shell in a guest."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import add_case_dir, add_cc, add_kernel, add_share, prepare
from harness.commands.output import each, each_then
from harness.commands.progress import bars
from harness.errors import Exit, Stopped
from harness.host import temporary
from harness.steps import progress

if TYPE_CHECKING:
    from harness.cases.catalog import Catalog
    from harness.guest.share import Share
    from harness.kernel.kernel import Bootable
    from harness.run.job import Prepared
    from harness.run.result import Result
    from harness.vm.machine import Disk
    from harness.vm.terminal import Terminal

SUMMARY = "boot a kernel with the modules loaded, and open a shell in it"
EXAMPLE = "jprobe-harness shell --kernel debian:6.12 --share ~/tests"
WITHOUT = "Without one, run a command in a guest: jprobe-harness ssh -- COMMAND"
GREETING = (
    "The modules are loaded; 'jprobe-case' plays a case. 'exit' powers off, Ctrl-] ends it at once."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser)
    add_cc(parser)
    add_case_dir(parser)
    add_share(parser)


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.run.job import Prepared

    catalog = Catalog(options.case_dir)

    def prepared() -> Prepared:
        kernel, modules = prepare(options, catalog, for_shell=True)
        return Prepared(kernel, modules, [])

    prompt(catalog, prepared, options.share)
    return Exit.AGREES


def prompt(
    catalog: Catalog,
    prepare: Callable[[], Prepared],
    folders: Sequence[Path],
    report: Callable[[Result], None] = lambda result: None,
) -> Result:
    """
    Run the plays in a guest, report them, and connect the user's terminal to the guest.

    The modules that `prepare` returns may be `traced` ones.
    """
    from harness.guest import share
    from harness.inspect.guest import booted
    from harness.inspect.shell import RECIPE, Desk, Host, interact, play_all
    from harness.report.terminal import lines
    from harness.run import boot
    from harness.run.boot import Contents
    from harness.run.logs import see
    from harness.run.result import ENDED
    from harness.tracing import tables
    from harness.vm.machine import Config
    from harness.vm.terminal import Terminal

    shares = share.named(folders)
    terminal = Terminal(WITHOUT)
    with ExitStack() as resources:
        with bars():
            image = prepare()
            desk = Desk(
                catalog,
                lambda outcome: lines(outcome, terminal.size[1]),
                tables.archive(image.kernel, image.modules, catalog.cases.values()),
            )
            config = Config(
                append=" ".join([f"TERM={terminal_type()}", *window(image.kernel, terminal)]),
                disks=tuple(disks(resources, shares)),
            )
            progress("booting", 0, 1)
            booting = booted(
                image.kernel,
                image.modules,
                config,
                contents=Contents(
                    (boot.MINIMAL, RECIPE, *(["share"] if shares else [])), desk.archives
                ),
            )
            guest = resources.enter_context(booting)
            ended: BaseException | None = None
            try:
                result = play_all(guest, image.plays)
            except ENDED as error:
                result, ended = error.result, error
        if ended:
            each_then(ended, lambda: report(result) if image.plays else None)

        def hand_over() -> None:
            print(GREETING, flush=True)
            try:
                with terminal:
                    interact(guest, terminal, Host(guest, desk))
            except KeyboardInterrupt:
                raise Stopped("its guest is gone.", f"{see(str(guest.logs))}.") from None

        each(
            lambda: report(result) if image.plays else None,
            lambda: hand_over() if guest.lives else None,
        )
        return result


def window(kernel: Bootable, terminal: Terminal) -> Iterator[str]:
    """The size of the window, for a guest that cannot be told later."""
    from harness.guest import initramfs
    from harness.guest.initramfs import Channel

    if initramfs.channel_of(kernel) is Channel.SERIAL:
        rows, columns = terminal.size
        yield from (f"LINES={rows}", f"COLUMNS={columns}")


def disks(resources: ExitStack, shares: Sequence[Share]) -> Iterator[Disk]:
    from harness.guest import share
    from harness.vm.machine import Disk

    if not shares:
        return
    folder = resources.enter_context(temporary.folder())
    for number, one in enumerate(shares):
        progress("packing", number, len(shares))
        share.pack(one, folder / one.name)
        yield Disk(one.name, folder / one.name)


def terminal_type() -> str:
    """Return $TERM without characters that the kernel's command line cannot have."""
    return re.sub(r"[^\w.+-]", "", os.environ.get("TERM", "")) or "linux"
