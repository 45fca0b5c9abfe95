# SPDX-License-Identifier: GPL-2.0-only
"""QEMU itself, what its command line is made of, and who connects to a guest."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

from tests.faults import visitor
from tests.faults.fault import Blame, Fault, Inject
from tests.faults.inject import arguments, both, built, cache, command, program, temporary
from tests.faults.place import Place

QEMU = "qemu-system-aarch64"
CELL = ("repro", "--case", "stack-9", "--variant", "none")


def qemu(version: str = "", boot: str = "") -> Inject:
    """A QEMU that reports another version, or fails with these words where it should boot."""
    real = shutil.which(QEMU)
    lines = [
        *([f'case "$*" in *--version*) echo "{version}"; exit 0;; esac'] if version else []),
        *([f'case "$*" in *-kernel*) echo "{boot}" >&2; exit 1;; esac'] if boot else []),
        f'exec {real} "$@"',
    ]
    return program(QEMU, "\n".join(lines))


OLD = "QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg-2ubuntu6.24)"
NOT_BUILT = f"{QEMU}: -sandbox support is not enabled in this QEMU binary"
NOT_ALLOWED = f"{QEMU}: failed to install seccomp syscall filter in the kernel"
without_sandbox = program(QEMU, f'case "$*" in *-sandbox*) echo "{NOT_BUILT}" >&2; exit 1;; esac')


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def visited(deed: str, *, port: bool = True) -> Inject:
    """Have a guest wait for a debugger, and somebody connect to it."""

    def inject(place: Place) -> None:
        place.have_modules()
        place.words = [*CELL, "--gdb-wait", *([str(free_port())] if port else [])]
        place.prefix = [sys.executable, "-m", visitor.__name__, deed]
        # The visitor is imported from there.
        place.environment["PYTHONPATH"] = str(Path(__file__).parents[3])

    return inject


def taken_port(place: Place) -> None:
    """Have another program listen on the port."""
    place.words = [*CELL, "--gdb-wait"]
    take = (
        "import socket, subprocess, sys\n"
        "with socket.socket() as one:\n"
        "    one.bind(('127.0.0.1', 0))\n"
        "    one.listen()\n"
        "    sys.exit(subprocess.run([*sys.argv[1:], str(one.getsockname()[1])]).returncode)\n"
    )
    place.prefix = [sys.executable, "-c", take]


FAULTS = (
    Fault(
        "a QEMU that is too old",
        both(built, qemu(OLD)),
        Blame.MACHINE,
        r"^\nqemu\S+ is too old: 6\.2\.0[^\n]*\n[^\n]*\n\n0 of",
    ),
    Fault(
        "a QEMU that is too old, under git bisect",
        both(built, qemu(OLD), arguments("--bisect")),
        Blame.MACHINE,
        "is too old",
        status=128,
        full=True,
    ),
    Fault(
        "a QEMU too old to know an option",
        both(built, qemu(OLD, f"{QEMU}: -sandbox on: Invalid parameter")),
        Blame.MACHINE,
        r"is too old: 6\.2\.0, and 7\.2 is the oldest",
        full=True,
    ),
    Fault("a QEMU that names no version", both(built, qemu("QEMU emulator, my own")), full=True),
    Fault(
        "a QEMU that was built without its sandbox",
        both(built, qemu(boot=NOT_BUILT)),
        Blame.MACHINE,
        "cannot have its sandbox, and no guest runs without",
    ),
    Fault(
        "a kernel that lets QEMU have no sandbox",
        both(built, qemu(boot=NOT_ALLOWED)),
        Blame.MACHINE,
        "cannot have its sandbox, and no guest runs without",
        full=True,
    ),
    Fault(
        "doctor, and a QEMU that is too old",
        both(built, command("doctor"), qemu(OLD)),
        Blame.MACHINE,
        r"6\.2\.0: older than 7\.2",
        full=True,
    ),
    Fault(
        "doctor, and a QEMU without its sandbox",
        both(built, command("doctor"), without_sandbox),
        Blame.MACHINE,
        "unknown: .*sandbox",
        full=True,
    ),
    Fault(
        "a TMPDIR like options of QEMU's",
        both(built, temporary("x,server=on,id=records")),
        full=True,
    ),
    Fault("a TMPDIR like a protocol of QEMU's", both(built, temporary("json:{,}")), full=True),
    Fault(
        "a line's end in TMPDIR", both(built, temporary("a\nb")), Blame.USER, "contains a newline"
    ),
    Fault("a cache's path like options of QEMU's", cache("-append, readonly=off"), full=True),
    Fault(
        "a port for a debugger that is taken",
        both(built, taken_port),
        Blame.MACHINE,
        "cannot be had",
    ),
    Fault(
        "a QEMU that is killed before a debugger came",
        visited("SIGKILL", port=False),
        Blame.MACHINE,
        "QEMU",
        full=True,
    ),
    Fault(
        "a browser's POST to a debugger's port",
        visited("post"),
        says=r"the browser got b''",
        full=True,
    ),
    Fault(
        "another user at a debugger's port",
        visited("stranger"),
        says=r"the stranger got b''",
        full=True,
    ),
    Fault(
        "two debuggers at a port",
        visited("second"),
        says=r"the second got b''",
        full=True,
    ),
    Fault("a debugger that goes in the middle of a packet", visited("half"), full=True),
    Fault(
        "QEMU's monitor, asked for at a port",
        visited("monitor"),
        says=r"qRcmd,71756974 got b''\n\? got b'T",
        full=True,
    ),
    Fault(
        "physical memory, asked for at a port",
        visited("memory"),
        says=r"PhyMemMode:1 got b''\nqqemu.PhyMemMode got b''\n\? got b'T",
        full=True,
    ),
    Fault(
        "QEMU's own answers at a port", visited("features"), says="qAttached got b'1'", full=True
    ),
)
