# SPDX-License-Identifier: GPL-2.0-only
"""A machine for QEMU to make: its hardware, and the command line that describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.host import doctor

QEMU = doctor.QEMU.name
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def escaped(value: str | Path) -> str:
    """Return a value for one of QEMU's comma-separated options."""
    return str(value).replace(",", ",,")


@dataclass(frozen=True)
class Disk:
    """A disk that the guest can only read."""

    # Its serial in the guest, of up to 20 bytes.
    name: str
    file: Path

    def arguments(self, number: int) -> list[str]:
        """Return QEMU's arguments for this disk, which is disk `number` of several."""
        # QEMU needs an identifier for each disk; without a driver, it may take a file's name for
        # a protocol and an address.
        name = f"disk{number}"
        file = f"file.driver=file,file.filename={escaped(self.file)}"
        return [
            "-drive", f"if=none,id={name},format=raw,readonly=on,{file}",
            "-device", f"virtio-blk-device,drive={name},serial={escaped(self.name)}",
        ]  # fmt: skip


@dataclass(frozen=True)
class Config:
    """The guest's hardware, and the options that QEMU starts with."""

    # A model without pointer authentication: "max" is many times slower (TCG).
    cpu: str = "cortex-a57"
    cpus: int = 2
    # Whether the guest's clock advances by one nanosecond for each instruction.
    icount: bool = False
    memory_mib: int = 256
    # Appended to the kernel command line.
    append: str = ""
    # Whether a debugger may attach, through a socket in the machine's own folder.
    gdb: bool = False
    # Whether the kernel chooses random addresses.
    kaslr: bool = False
    disks: tuple[Disk, ...] = ()
    # Whether the guest has QEMU's user network, with a port of the loopback for its SSH server.
    network: bool = False


DEFAULT_CONFIG = Config()
# The host chooses the port, and the guest cannot connect to anything.
_NETWORK = (
    "-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22",
    "-device", "virtio-net-device,netdev=net",
    "-object", "rng-random,id=random,filename=/dev/urandom",
    "-device", "virtio-rng-device,rng=random",
)  # fmt: skip
# With oops=panic and panic=-1, QEMU exits whenever the kernel dies (-no-reboot);
# randomize_kstack_offset=off makes addresses repeatable.
COMMAND_LINE = "console=ttyAMA0 loglevel=6 oops=panic panic=-1 randomize_kstack_offset=off"


@dataclass(frozen=True)
class Memory:
    """
    A file that is a guest's memory.

    A guest that boots writes to the file.  One that has booted, and goes on from it, writes to
    pages of its own; its kernel is in there, so that QEMU is given a stub in place of it.
    """

    file: Path
    # A kernel of a few bytes; None for a guest that boots.
    stub: Path | None = None

    def arguments(self, mib: int) -> list[str]:
        """Return QEMU's arguments for so much memory."""
        share = "off" if self.stub else "on"
        file = f"mem-path={escaped(self.file)},share={share}"
        return [
            "-object", f"memory-backend-file,id=memory,size={mib}M,{file}",
            "-machine", "memory-backend=memory",
            *(["-incoming", "defer"] if self.stub else []),
        ]  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """A kernel image on some hardware."""

    kernel: Path
    config: Config = DEFAULT_CONFIG
    # None: memory of QEMU's own.
    memory: Memory | None = None

    @property
    def cloned(self) -> bool:
        """Whether it goes on from a guest that has booted."""
        return self.memory is not None and self.memory.stub is not None

    def command(self, initrd: Path, sockets: Mapping[str, int], gdb: Path) -> list[str]:
        """
        Return QEMU's command line for a guest that the harness drives.

        `sockets` are descriptors that QEMU inherits: connected ones for "console" and
        "records", and a listening one for "qmp".  `gdb` is the path of the debugger's
        socket, for a machine that has one.
        """
        config = self.config
        stub = self.memory.stub if self.memory else None
        return [
            *self._qemu(*(("-kernel", str(stub)) if stub else self._booting(initrd))),
            "-chardev", f"socket,id=console,fd={sockets['console']}",
            "-chardev", f"socket,id=records,fd={sockets['records']}",
            "-chardev", f"socket,id=qmp,fd={sockets['qmp']},server=on,wait=off",
            "-mon", "chardev=qmp,mode=control",
            *(["-gdb", f"unix:{gdb},server=on,wait=off"] if config.gdb else []),
            *(word for number, disk in enumerate(config.disks) for word in disk.arguments(number)),
            *(_NETWORK if config.network else []),
            *(self.memory.arguments(config.memory_mib) if self.memory else []),
        ]  # fmt: skip

    def standalone(self, initrd: Path, records: Path) -> list[str]:
        """
        Return a command that boots the same guest without the harness.

        Its console is the terminal, where Ctrl-a x ends it, and its records go to a file;
        it has no disks.
        """
        return [
            *self._qemu(*self._booting(initrd)),
            "-chardev", "stdio,id=console,mux=on,signal=off", "-mon", "chardev=console",
            "-chardev", f"file,id=records,path={escaped(records)}",
        ]  # fmt: skip

    def _booting(self, initrd: Path) -> tuple[str, ...]:
        return "-kernel", str(self.kernel), "-initrd", str(initrd)

    def _qemu(self, *kernel: str) -> list[str]:
        """Return QEMU's command line, without the backends of console and record channel."""
        config = self.config
        kaslr = () if config.kaslr else ("nokaslr",)
        return [
            QEMU,
            "-name", "jprobe-harness",
            "-M", "virt",
            # With a thread for each CPU, QEMU 7.2 sometimes loses a stop.
            "-accel", "tcg,thread=single" if config.gdb else "tcg",
            *(["-icount", "shift=0,sleep=off"] if config.icount else []),
            "-cpu", config.cpu,
            "-smp", str(config.cpus),
            "-m", str(config.memory_mib),
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display", "none",
            "-sandbox", SANDBOX,
            "-serial", "chardev:console",
            "-device", "virtio-serial-device",
            "-device", "virtserialport,chardev=records,name=records",
            *kernel,
            "-append", " ".join(filter(None, (COMMAND_LINE, *kaslr, config.append))),
        ]  # fmt: skip
