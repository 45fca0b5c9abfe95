# SPDX-License-Identifier: GPL-2.0-only
"""A guest that is reached by SSH."""

from __future__ import annotations

import codecs
import dataclasses
import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from harness.guest.initramfs import Channel
from harness.guest.records import HostKey
from harness.inspect import shell
from harness.inspect.console_pump import ConsolePump
from harness.inspect.guest import Guest, booted
from harness.inspect.shell import Desk, Host
from harness.kernel.kernel import Bootable
from harness.modules.build import Modules
from harness.run import boot
from harness.run.boot import Contents
from harness.vm import qmp
from harness.vm.escapes import Escapes
from harness.vm.machine import DEFAULT_CONFIG, Config
from harness.vm.ssh import CHUNK, Key, Ssh, status_of, write_config
from harness.vm.terminal import ESCAPE, Terminal

if TYPE_CHECKING:
    import paramiko

RECIPE = "ssh"
# How long a command's status may take after the end of its output.
STATUS_SECONDS = 30


@dataclass(frozen=True)
class Reached:
    """A guest, the connection to it, and a configuration file for the user's own ssh."""

    guest: Guest
    ssh: Ssh
    config: Path

    @property
    def lives(self) -> bool:
        return self.guest.lives

    def check(self) -> None:
        """Raise SshError if it does not answer, KernelFault for a complaint of the kernel's."""
        self.ssh.run(":")
        self.guest.check_quiet()


@contextmanager
def reached(
    kernel: Bootable,
    modules: Modules,
    desk: Desk,
    config: Config = DEFAULT_CONFIG,
    recipes: tuple[str, ...] = (),
) -> Iterator[Reached]:
    """
    Start a guest with further `recipes` and connect; close both on exit.

    Raises ConfigError for a kernel that has no network, SshError, and whatever
    Guest raises.
    """
    key = Key()
    booting = booted(
        kernel,
        modules,
        dataclasses.replace(config, network=True),
        contents=Contents(
            (boot.MINIMAL, shell.RECIPE, RECIPE, *recipes),
            desk.archives,
            Channel.VIRTIO,
        ),
    )
    with booting as guest:
        guest.session.send(f"sshd {key.public}")
        # The key can be trusted: only the guest can write to this channel.
        host_key = guest.session.await_record(guest.session.deadlines.boot)
        if not isinstance(host_key, HostKey):
            raise guest.session.protocol_fault("The guest did not report its host key.")
        folder = guest.logs.folder
        key.write(folder / "id_ed25519")
        port = qmp.forwarded_port(guest.session.machine.qmp)
        file = write_config(folder, port, host_key.key, folder / "id_ed25519")
        host = Host(guest, desk)
        with (
            ConsolePump(guest.session, host.attend),
            Ssh(port, host_key.key, folder / "id_ed25519") as ssh,
        ):
            yield Reached(guest, ssh, file)


class _OnTerminal:
    """The user's terminal, with a guest's output filtered for unsafe escape sequences."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._escapes = Escapes()

    def write(self, data: bytes) -> None:
        text = self._escapes.passed(self._decoder.decode(data), time.monotonic())
        self._stream.write(text.encode())

    def flush(self) -> None:
        self._stream.flush()


def _output(stream: TextIO) -> BinaryIO | _OnTerminal:
    """Return a stream for a guest's output, which is filtered only on a terminal."""
    return _OnTerminal(stream.buffer) if stream.isatty() else stream.buffer


def stream(channel: paramiko.Channel, source: int | None) -> int:
    """Pass a command's input and outputs through, and return its status."""
    outputs = (
        (channel.recv_ready, channel.recv, _output(sys.stdout)),
        (channel.recv_stderr_ready, channel.recv_stderr, _output(sys.stderr)),
    )
    poll = select.poll()
    for number in (channel.fileno(), source):
        if number is not None:
            poll.register(number, select.POLLIN)
    while not channel.eof_received or any(ready() for ready, _, _ in outputs):
        found = {number for number, _ in poll.poll()}
        for ready, receive, output in outputs:
            while ready():
                output.write(receive(CHUNK))
                output.flush()
        if source in found and source is not None:
            data = os.read(source, CHUNK)
            if data:
                channel.sendall(data)
            else:
                poll.unregister(source)
                channel.shutdown_write()
    return status_of(channel, STATUS_SECONDS)


def interact(channel: paramiko.Channel, terminal: Terminal) -> int:
    """Connect a remote terminal to the user's; return its status, or 0 if the user left."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    poll = select.poll()
    for source in (channel.fileno(), terminal.fileno(), terminal.resized):
        poll.register(source, select.POLLIN)
    while not channel.eof_received or channel.recv_ready():
        ready = {number for number, _ in poll.poll()}
        while channel.recv_ready():
            terminal.write(decoder.decode(channel.recv(CHUNK)))
        if terminal.resized in ready:
            rows, columns = terminal.look()
            channel.resize_pty(columns, rows)
        if terminal.fileno() in ready:
            data = terminal.read()
            typed, escape, _ = data.partition(ESCAPE)
            channel.sendall(typed)
            if escape or not data:
                return 0
    return status_of(channel, STATUS_SECONDS)
