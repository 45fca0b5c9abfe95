# SPDX-License-Identifier: GPL-2.0-only
"""One qemu-system-aarch64 process, which ends with its context."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError, MachineError, UnfitEmulator
from harness.host import cache, doctor, stopping, temporary, tool
from harness.steps import LOG, booting, step
from harness.vm.machine import QEMU, Machine

# QEMU greets on QMP before it starts the guest; on a loaded machine that takes seconds.
START_SECONDS = 30
EXIT_SECONDS = 5
# How many bytes of QEMU's own output an error message has.
OUTPUT_SHOWN = 2000
_TOO_SMALL = re.compile(r"too large to fit in RAM|Not enough space for ")
# Printed by a QEMU without sandbox support, or on a kernel that does not allow a sandbox.
_NO_SANDBOX = re.compile(r"-sandbox support is not enabled|seccomp")


@functools.cache
def version() -> str:
    """Return the first line of QEMU's --version; raise UnfitEmulator for a QEMU that is too old."""
    line = _version()
    if doctor.too_old(doctor.QEMU, doctor.version_in(line)):
        raise UnfitEmulator(
            f"{QEMU} is too old: {doctor.version_in(line)}, and {doctor.QEMU.least} is the oldest"
            " that is supported.",
            "Install a newer one; see: jprobe-harness doctor",
        )
    return line


def _version() -> str:
    """Return the line; a program is only asked for it when its file has changed."""

    def asked() -> str:
        return tool.check([QEMU, "--version"], seconds=START_SECONDS).partition("\n")[0]

    program = shutil.which(QEMU)
    # A script may start whichever QEMU.
    if program is None or not _is_elf(Path(program)):
        return asked()
    return cache.remembered([(f"version of {program}", Path(program).stat())], asked)


def _is_elf(program: Path) -> bool:
    with contextlib.suppress(OSError), program.open("rb") as file:
        return file.read(4) == b"\x7fELF"
    return False


_INITRD = "initrd"


@dataclass(frozen=True)
class Running:
    """A machine that QEMU has made, and what leads to it."""

    machine: Machine
    # As QEMU was started.
    command: tuple[str, ...]
    process: subprocess.Popen[bytes]
    # Readable once the process has ended.
    pidfd: int
    # The serial line, and a virtio-serial port for records.
    console: socket.socket
    records: socket.socket
    # The sockets of QMP, and of the debugger where the machine has one.
    qmp: Path
    gdb: Path
    # What QEMU itself prints.
    log: Path

    @property
    def initrd(self) -> Path:
        """The guest's initrd."""
        return self.log.with_name(_INITRD)

    @property
    def too_small(self) -> bool:
        """Whether QEMU found that the kernel does not fit into the guest's memory."""
        return bool(_TOO_SMALL.search(self.output))

    @property
    def ended_by_signal(self) -> bool:
        """Whether a signal ended QEMU, whose exit status is 0 then."""
        return "terminating on signal " in self.output

    @property
    def suspended(self) -> bool:
        """Whether the process is stopped, as by SIGSTOP (proc(5), /proc/PID/stat)."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] in "Tt"

    @property
    def output(self) -> str:
        """QEMU's own output, or the end of it."""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - OUTPUT_SHOWN))
            return file.read().decode(errors="replace").strip()


def emulator() -> Path:
    """Return QEMU's program; raise UnfitEmulator where there is none."""
    found = shutil.which(QEMU)
    if found is None:
        raise UnfitEmulator(f"{QEMU} is not installed.", tool.DOCTOR)
    return Path(found)


@contextmanager
def running(machine: Machine, initrd: bytes) -> Iterator[Running]:
    """
    Start QEMU, and end it on exit in any case.

    Raises UnfitEmulator where there is no QEMU that will do, and MachineError for one that
    does not start.
    """
    emulator()
    with ExitStack() as resources:
        folder = resources.enter_context(temporary.folder())
        try:
            (folder / _INITRD).write_bytes(initrd)
        except OSError as error:
            raise InfrastructureError(
                f"The guest's initrd cannot be written: {error}.",
                f"Make room in {folder.parent}, or set TMPDIR.",
            ) from error
        with step("start QEMU"), socket.socket(socket.AF_UNIX) as greeted:
            started = _start(machine, folder, greeted, resources)
            booting()
            _import_others()
            _await_greeting(started, greeted)
        LOG.debug("QEMU is %s", shlex.join(started.command))
        yield started


def _start(machine: Machine, folder: Path, greeted: socket.socket, resources: ExitStack) -> Running:
    """Start QEMU, with `greeted` as the first client of QMP."""
    # A socket's address has at most 107 bytes, too few for some paths of the user's.
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    resources.callback(os.close, handle)
    sockets = Path(f"/proc/{os.getpid()}/fd/{handle}")
    qmp, gdb = sockets / "qmp", sockets / "gdb"
    log = folder / "qemu.log"
    with ExitStack() as passed:
        lines = {name: socket.socketpair() for name in ("console", "records")}
        for ours, theirs in lines.values():
            resources.enter_context(ours)
            passed.enter_context(theirs)
        listener = passed.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(qmp))
        listener.listen(1)
        # While it is there: QEMU may have ended before anybody else could connect.
        greeted.connect(str(qmp))
        inherited = {name: theirs.fileno() for name, (_, theirs) in lines.items()}
        inherited["qmp"] = listener.fileno()
        command = tuple(machine.command(folder / _INITRD, inherited, gdb))
        with stopping.held():
            process = _spawned(command, inherited, log)
            resources.callback(_kill, process)
    pidfd = os.pidfd_open(process.pid)
    resources.callback(os.close, pidfd)
    console, records = (ours for ours, _ in lines.values())
    return Running(machine, command, process, pidfd, console, records, qmp, gdb, log)


def _import_others() -> None:
    """Import what talks to QEMU, which takes as long as QEMU takes to start."""
    import qemu.qmp  # noqa: F401


def _spawned(
    command: tuple[str, ...], inherited: Mapping[str, int], log: Path
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            tool.bound(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=tool.stated_environment(),
            pass_fds=tuple(inherited.values()),
            # Ctrl-C is meant for this process, or for a debugger.
            process_group=0,
        )


def _await_greeting(started: Running, greeted: socket.socket) -> None:
    """Wait until QEMU has made the machine; raise MachineError if it ends or is too slow."""
    poll = select.poll()
    for number in (greeted.fileno(), started.pidfd):
        poll.register(number, select.POLLIN)
    if not poll.poll(START_SECONDS * 1000):
        raise _failure(started, f"did not start within {START_SECONDS} s")
    try:
        if greeted.recv(1, socket.MSG_DONTWAIT):
            return
    except (BlockingIOError, ConnectionResetError):
        # Only its end is there to be read.
        pass
    raise _failure(started, f"ended with status {started.process.wait(EXIT_SECONDS)}")


def _failure(started: Running, what: str) -> MachineError:
    try:
        version()
    except UnfitEmulator as error:
        return error
    except InfrastructureError:
        # This QEMU does not even print its version; its output below is reported instead.
        pass
    output = started.output or "it printed nothing"
    if _NO_SANDBOX.search(output):
        return UnfitEmulator(
            f"QEMU cannot have its sandbox, and no guest runs without: {output}",
            "Install a QEMU that was built with seccomp, such as your distribution's; the"
            " kernel, and a container, must allow seccomp(2).",
        )
    hint = f"The command was: {shlex.join(started.command)}"
    if started.too_small:
        hint = "Give the guest more memory with --memory MIB."
    return MachineError(f"QEMU {what}: {output}", hint)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(EXIT_SECONDS)
