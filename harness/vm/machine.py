# SPDX-License-Identifier: GPL-2.0-only
"""One qemu-system-aarch64 process, as a context manager."""

from __future__ import annotations

import functools
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError, MachineError, UnfitEmulator
from harness.host import doctor, stopping, temporary, tool
from harness.host.deadline import Deadline

QEMU = doctor.QEMU.name
# QEMU connects before it starts the guest; on a loaded machine that takes seconds.
CONNECT_SECONDS = 30
EXIT_SECONDS = 5
# How many bytes of QEMU's own output an error message has.
OUTPUT_SHOWN = 2000
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

_TOO_SMALL = re.compile(r"too large to fit in RAM|Not enough space for ")
# Printed by a QEMU without sandbox support, or on a kernel that does not allow a sandbox.
_NO_SANDBOX = re.compile(r"-sandbox support is not enabled|seccomp")


@functools.cache
def version() -> str:
    """Return the first line of QEMU's --version; raise UnfitEmulator for a QEMU that is too old."""
    line = tool.check([QEMU, "--version"], seconds=CONNECT_SECONDS).partition("\n")[0]
    if doctor.too_old(doctor.QEMU, doctor.version_in(line)):
        raise UnfitEmulator(
            f"{QEMU} is too old: {doctor.version_in(line)}, and {doctor.QEMU.least} is the oldest"
            " that is supported.",
            "Install a newer one; see: jprobe-harness doctor",
        )
    return line


# With oops=panic and panic=-1, QEMU exits whenever the kernel dies (-no-reboot);
# randomize_kstack_offset=off makes addresses repeatable.
COMMAND_LINE = "console=ttyAMA0 loglevel=6 oops=panic panic=-1 randomize_kstack_offset=off"


class Machine:
    """
    A context manager that starts QEMU on entry, and has ended it on exit in any case.

    `console` and `records` are connected sockets: the serial line, and a
    separate virtio-serial port.  `qmp` and `gdb` are the paths of QMP's socket
    and, where the config has it, of the debugger's.
    """

    def __init__(self, kernel: Path, initrd: bytes, config: Config = DEFAULT_CONFIG) -> None:
        self._kernel = kernel
        self._initrd = initrd
        self.config = config
        self._resources = ExitStack()

    def __enter__(self) -> Machine:
        if shutil.which(QEMU) is None:
            raise InfrastructureError(f"{QEMU} is not installed.", tool.DOCTOR)
        try:
            self._start()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._resources.close()

    def _start(self) -> None:
        self.folder = self._resources.enter_context(temporary.folder())
        try:
            (self.folder / "initrd").write_bytes(self._initrd)
        except OSError as error:
            raise InfrastructureError(
                f"The guest's initrd cannot be written: {error}.",
                f"Make room in {self.folder.parent}, or set TMPDIR.",
            ) from error
        # A socket's address has at most 107 bytes, too few for some paths of the user's.
        handle = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
        self._resources.callback(os.close, handle)
        self._sockets = Path(f"/proc/{os.getpid()}/fd/{handle}")
        self.qmp = self._sockets / "qmp"
        self.gdb = self._sockets / "gdb"
        listeners = {name: self._listen(name) for name in ("console", "records")}
        self.command = [
            # QEMU must not outlive this process, however that ends.
            "setpriv", "--pdeathsig", "KILL",
            *self._qemu(self.folder / "initrd"),
            "-chardev", f"socket,id=console,path={self._sockets}/console",
            "-chardev", f"socket,id=records,path={self._sockets}/records",
            "-qmp", f"unix:{self.qmp},server=on,wait=off",
            *(["-gdb", f"unix:{self.gdb},server=on,wait=off"] if self.config.gdb else []),
            *(
                word
                for number, disk in enumerate(self.config.disks)
                for word in disk.arguments(number)
            ),
            *(_NETWORK if self.config.network else []),
        ]  # fmt: skip
        self._output = self._resources.enter_context((self.folder / "qemu.log").open("w+"))
        with stopping.held():
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env=tool.stated_environment(),
                # Ctrl-C is meant for this process, or for a debugger.
                process_group=0,
            )
            self._resources.callback(self._kill)
        self.pidfd = os.pidfd_open(self.process.pid)
        self._resources.callback(os.close, self.pidfd)
        connections = self._accept(listeners)
        self.console = connections["console"]
        self.records = connections["records"]

    def _listen(self, name: str) -> socket.socket:
        listener = self._resources.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(self._sockets / name))
        listener.listen(1)
        return listener

    def standalone(self, initrd: Path, records: Path) -> list[str]:
        """
        Return a command that boots the same guest without the harness.

        Its console is the terminal, where Ctrl-a x ends it, and its records go to a file;
        it has no disks.
        """
        return [
            *self._qemu(initrd),
            "-chardev", "stdio,id=console,mux=on,signal=off", "-mon", "chardev=console",
            "-chardev", f"file,id=records,path={escaped(records)}",
        ]  # fmt: skip

    def _qemu(self, initrd: Path) -> list[str]:
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
            "-kernel", str(self._kernel),
            "-initrd", str(initrd),
            "-append", " ".join(filter(None, (COMMAND_LINE, *kaslr, config.append))),
        ]  # fmt: skip

    def _accept(self, listeners: Mapping[str, socket.socket]) -> dict[str, socket.socket]:
        """Return QEMU's connections by name; raise MachineError if it ends or is too slow."""
        waiting = {listener.fileno(): name for name, listener in listeners.items()}
        connections = {}
        poll = select.poll()
        for number in (*waiting, self.pidfd):
            poll.register(number, select.POLLIN)
        deadline = Deadline(CONNECT_SECONDS)
        while waiting:
            ready = {number for number, _ in poll.poll(deadline.left * 1000)}
            if not ready:
                raise self._failure(f"did not open its sockets within {CONNECT_SECONDS} s")
            # Connections that QEMU made before it ended are still read.
            connected = ready & waiting.keys()
            if not connected:
                raise self._failure(f"ended with status {self.process.wait()}")
            for number in connected:
                poll.unregister(number)
                name = waiting.pop(number)
                connection, _ = listeners[name].accept()
                connections[name] = self._resources.enter_context(connection)
        return connections

    def _failure(self, what: str) -> MachineError:
        self._output.flush()
        try:
            version()
        except UnfitEmulator as error:
            return error
        except InfrastructureError:
            # This QEMU does not even print its version; its output below is reported instead.
            pass
        output = self.qemu_output or "it printed nothing"
        if _NO_SANDBOX.search(output):
            return UnfitEmulator(
                f"QEMU cannot have its sandbox, and no guest runs without: {output}",
                "Install a QEMU that was built with seccomp, such as your distribution's; the"
                " kernel, and a container, must allow seccomp(2).",
            )
        hint = f"The command was: {shlex.join(self.command)}"
        if self.too_small:
            hint = "Give the guest more memory with --memory MIB."
        return MachineError(f"QEMU {what}: {output}", hint)

    @property
    def too_small(self) -> bool:
        """Whether QEMU found that the kernel does not fit into the guest's memory."""
        return bool(_TOO_SMALL.search(self.qemu_output))

    @property
    def ended_by_signal(self) -> bool:
        """Whether a signal ended QEMU, whose exit status is 0 then."""
        return "terminating on signal " in self.qemu_output

    @property
    def suspended(self) -> bool:
        """Whether the process is stopped, as by SIGSTOP (proc(5), /proc/PID/stat)."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] in "Tt"

    @property
    def qemu_output(self) -> str:
        """QEMU's own output, or the end of it."""
        with (self.folder / "qemu.log").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - OUTPUT_SHOWN))
            return file.read().decode(errors="replace").strip()

    def _kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(EXIT_SECONDS)
