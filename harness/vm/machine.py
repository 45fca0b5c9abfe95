# SPDX-License-Identifier: GPL-2.0-only
"""One qemu-system-aarch64 process as a context manager."""

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
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError, MachineError, UnfitEmulator
from harness.host import doctor, stopping, temporary, tool

QEMU = doctor.QEMU.name
# QEMU connects before it starts the guest; on a loaded machine after seconds.
CONNECT_SECONDS = 30
EXIT_SECONDS = 5
# Bytes of what QEMU said.
OUTPUT_SHOWN = 2000
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def escaped(value: str | Path) -> str:
    """A value of an option of QEMU's that takes several, where a comma ends one."""
    return str(value).replace(",", ",,")


@dataclass(frozen=True)
class Disk:
    """A disk that the guest can only read."""

    # Its serial in the guest; up to 20 bytes.
    name: str
    file: Path

    def arguments(self, number: int) -> list[str]:
        """QEMU's, for one of several disks."""
        # What QEMU calls it must be an identifier, and a file's name without a driver may be
        # taken for a protocol and an address.
        name = f"disk{number}"
        file = f"file.driver=file,file.filename={escaped(self.file)}"
        return [
            "-drive", f"if=none,id={name},format=raw,readonly=on,{file}",
            "-device", f"virtio-blk-device,drive={name},serial={escaped(self.name)}",
        ]  # fmt: skip


@dataclass(frozen=True)
class Config:
    """What the guest's hardware is like."""

    # A model without pointer authentication: "max" is many times slower (TCG).
    cpu: str = "cortex-a57"
    cpus: int = 2
    # The guest's time is what it has run: a nanosecond for each instruction.
    icount: bool = False
    memory_mib: int = 256
    # Appended to the kernel command line.
    append: str = ""
    # A debugger may attach, through a socket in the machine's own folder.
    gdb: bool = False
    # The kernel chooses its own addresses.
    kaslr: bool = False
    disks: tuple[Disk, ...] = ()
    # QEMU's user network, from which a port of the loopback leads to the guest's SSH.
    network: bool = False


DEFAULT_CONFIG = Config()
# The system chooses the port; the guest cannot reach anything.
_NETWORK = (
    "-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22",
    "-device", "virtio-net-device,netdev=net",
    "-object", "rng-random,id=random,filename=/dev/urandom",
    "-device", "virtio-rng-device,rng=random",
)  # fmt: skip

_TOO_SMALL = re.compile(r"too large to fit in RAM|Not enough space for ")
# Of a QEMU that was built without its sandbox, or on a kernel that does not let it have one.
_NO_SANDBOX = re.compile(r"-sandbox support is not enabled|seccomp")


@functools.cache
def version() -> str:
    """QEMU's, as it names itself; raises UnfitEmulator for one that is too old."""
    said = tool.check([QEMU, "--version"], seconds=CONNECT_SECONDS).partition("\n")[0]
    if doctor.too_old(doctor.QEMU, doctor.version_in(said)):
        raise UnfitEmulator(
            f"{QEMU} is too old: {doctor.version_in(said)}, and {doctor.QEMU.least} is the oldest"
            " that is supported.",
            "Install a newer one; see: jprobe-harness doctor",
        )
    return said


# oops=panic and panic=-1 turn every death into an exit of QEMU's (-no-reboot);
# the two settings after them make addresses repeatable.
COMMAND_LINE = "console=ttyAMA0 loglevel=6 oops=panic panic=-1 randomize_kstack_offset=off"


class Machine:
    """
    Starts QEMU on entry; it is gone on exit, whatever happened.

    `console` and `records` are connected sockets: the serial line, and a
    virtio-serial port beside it.  `qmp` and `gdb` are the paths of QMP's socket
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
        # The address of a socket has room for 107 bytes only, so no path of the user's is in it.
        handle = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
        self._resources.callback(os.close, handle)
        self._sockets = Path(f"/proc/{os.getpid()}/fd/{handle}")
        self.qmp = self._sockets / "qmp"
        self.gdb = self._sockets / "gdb"
        listeners = {name: self._listen(name) for name in ("console", "records")}
        self.command = [
            # The guest must not outlive this process, however that one ends.
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
                # Ctrl-C is for this process, or a debugger.
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
        A command that boots the same guest without the harness.

        Its console is the terminal, where Ctrl-a x ends it, and its records go to a file;
        it has no disks.
        """
        return [
            *self._qemu(initrd),
            "-chardev", "stdio,id=console,mux=on,signal=off", "-mon", "chardev=console",
            "-chardev", f"file,id=records,path={escaped(records)}",
        ]  # fmt: skip

    def _qemu(self, initrd: Path) -> list[str]:
        """All but what its lines lead to."""
        config = self.config
        kaslr = () if config.kaslr else ("nokaslr",)
        return [
            QEMU,
            "-name", "jprobe-harness",
            "-M", "virt",
            # With a thread for each CPU, QEMU 7.2 now and then loses a stop.
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
        """Wait until QEMU has connected all lines, or has ended."""
        waiting = {listener.fileno(): name for name, listener in listeners.items()}
        connections = {}
        poll = select.poll()
        for number in (*waiting, self.pidfd):
            poll.register(number, select.POLLIN)
        deadline = time.monotonic() + CONNECT_SECONDS
        while waiting:
            seconds = max(0.0, deadline - time.monotonic())
            ready = {number for number, _ in poll.poll(seconds * 1000)}
            if not ready:
                raise self._failure(f"did not open its lines within {CONNECT_SECONDS} s")
            # What QEMU connected before it ended is still read.
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
            # It says no more than what it has said.
            pass
        said = self.qemu_output or "it said nothing"
        if _NO_SANDBOX.search(said):
            return UnfitEmulator(
                f"QEMU cannot have its sandbox, and no guest runs without: {said}",
                "Install a QEMU that was built with seccomp, such as your distribution's; the"
                " kernel, and a container, must allow seccomp(2).",
            )
        hint = f"The command was: {shlex.join(self.command)}"
        if self.too_small:
            hint = "Give the guest more memory with --memory MIB."
        return MachineError(f"QEMU {what}: {said}", hint)

    @property
    def too_small(self) -> bool:
        """QEMU found that the kernel does not fit into the guest's memory."""
        return bool(_TOO_SMALL.search(self.qemu_output))

    @property
    def ended_by_signal(self) -> bool:
        """QEMU was told to end by somebody else than its guest; its status is 0 then."""
        return "terminating on signal " in self.qemu_output

    @property
    def suspended(self) -> bool:
        """The process was stopped, as by SIGSTOP (proc(5), /proc/PID/stat)."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] in "Tt"

    @property
    def qemu_output(self) -> str:
        """What QEMU itself said, or the last of it."""
        with (self.folder / "qemu.log").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - OUTPUT_SHOWN))
            return file.read().decode(errors="replace").strip()

    def _kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(EXIT_SECONDS)
