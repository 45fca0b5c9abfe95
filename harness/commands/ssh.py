# SPDX-License-Identifier: GPL-2.0-only
"""Runs a command in a guest by SSH, or opens a terminal there."""

from __future__ import annotations

import argparse
import functools
import shlex
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from harness.commands.options import add_case_dir, add_cc, add_kernel, add_share, prepare
from harness.commands.output import check_files
from harness.commands.progress import bars
from harness.commands.shell import GREETING, disks, terminal_type
from harness.errors import ConfigError, Exit, Stopped
from harness.steps import progress

if TYPE_CHECKING:
    from paramiko import Channel

    from harness.inspect.ssh import Reached
    from harness.vm.ssh import Ssh
    from harness.vm.terminal import Terminal

SUMMARY = "boot a kernel and run a command in it by SSH, or open a terminal there"
EXAMPLE = "jprobe-harness ssh --put test.sh --get /root/out -- sh test.sh"
WITHOUT = "Without one, give a command: jprobe-harness ssh -- COMMAND"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser)
    add_cc(parser)
    add_case_dir(parser)
    add_share(parser)
    parser.add_argument(
        "--put",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="copy a file to /root in the guest first; repeatable",
    )
    parser.add_argument(
        "--get",
        action="append",
        default=[],
        type=PurePosixPath,
        metavar="FILE",
        help="copy a file of the guest's here when the command has ended; repeatable",
    )
    parser.add_argument(
        "--config",
        action="store_true",
        help="print a configuration for your own ssh, scp and sftp; keep the guest until Ctrl-C",
    )
    parser.add_argument(
        "remote",
        nargs="*",
        metavar="COMMAND",
        help="a command for the guest's shell, whose status is this one's (128 + N for signal N)",
    )


def run(options: argparse.Namespace) -> int:
    from harness.cases.catalog import Catalog
    from harness.guest import share
    from harness.inspect.shell import Desk
    from harness.inspect.ssh import reached
    from harness.report.terminal import PIPE_WIDTH, lines
    from harness.run.logs import see
    from harness.tracing import tables
    from harness.vm.machine import Config
    from harness.vm.terminal import Terminal

    for file in options.put:
        if not file.is_file():
            raise ConfigError(f"{file} cannot be copied: there is no such file.")
    check_files([file.name for file in options.get])
    shares = share.named(options.share)
    terminal = None if options.remote or options.config else Terminal(WITHOUT)
    catalog = Catalog(options.case_dir)
    columns = terminal.size[1] if terminal else PIPE_WIDTH
    with ExitStack() as resources:
        with bars():
            kernel, modules = prepare(options, catalog, for_shell=True)
            desk = Desk(
                catalog,
                lambda outcome: lines(outcome, columns, colour=sys.stdout.isatty()),
                tables.archive(kernel, modules, catalog.cases.values()),
            )
            config = Config(disks=tuple(disks(resources, shares)))
            progress("booting", 0, 1)
            guest = resources.enter_context(
                reached(kernel, modules, desk, config, recipes=("share",) if shares else ())
            )
            _put(guest.ssh, options.put)
        if options.config:
            return _hold(guest)
        try:
            status = _converse(guest.ssh, terminal, " ".join(options.remote))
            for file in options.get:
                guest.ssh.get(str(file), Path(file.name))
        except KeyboardInterrupt:
            raise Stopped("its guest is gone.", f"{see(str(guest.guest.logs))}.") from None
        return status


def _put(ssh: Ssh, files: list[Path]) -> None:
    for file in files:
        ssh.put(file, f"/root/{file.name}", functools.partial(_show, file.name))


def _show(name: str, done: int, size: int) -> None:
    progress(f"copying {name}", done, max(1, size))


def _converse(ssh: Ssh, terminal: Terminal | None, command: str) -> int:
    from harness.inspect.ssh import interact, stream
    from harness.vm.ssh import start

    if terminal is None:
        with ssh.request(lambda channel: start(channel, command)) as channel:
            return stream(channel, sys.stdin.fileno())
    rows, columns = terminal.size

    def ask(channel: Channel) -> None:
        channel.get_pty(terminal_type(), columns, rows)
        channel.invoke_shell()

    with ssh.request(ask) as channel:
        print(GREETING, flush=True)
        with terminal:
            return interact(channel, terminal)


def _hold(guest: Reached) -> int:
    """Keep the guest running for the user's own client, until Ctrl-C."""
    print(guest.config.read_text(), flush=True)
    print(f"In another terminal: ssh -F {shlex.quote(str(guest.config))} guest", file=sys.stderr)
    print("The guest runs until Ctrl-C.", file=sys.stderr)
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()
    return Exit.AGREES
