# SPDX-License-Identifier: GPL-2.0-only
"""The system programs that the harness needs, and how to get them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import InfrastructureError
from harness.host import tool

INSTALL_SECONDS = 1800


@dataclass(frozen=True)
class Program:
    """One program and the Debian package that has it."""

    # The program's name, or that of a header for the machine's own compiler.
    name: str
    package: str
    purpose: str
    # With these it prints its version, or fails if it lacks a feature that they name; empty if it
    # cannot print its version.
    version_options: tuple[str, ...] = ("--version",)
    # The oldest version that is supported; empty for any.
    least: str = ""


QEMU = Program(
    "qemu-system-aarch64",
    "qemu-system-arm",
    "emulates the arm64 machine",
    # A QEMU that was built without its sandbox fails with these.
    ("-sandbox", "on", "--version"),
    # Debian 12's, the oldest that is tested.
    least="7.2",
)

PROGRAMS = (
    QEMU,
    Program("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "compiles the test modules"),
    Program("aarch64-linux-gnu-ld", "binutils-aarch64-linux-gnu", "links the test modules"),
    Program("make", "make", "runs the kernel's own build of modules"),
    Program("pahole", "pahole", "makes BTF: of modules from Linux 6.12 on, of a vmlinux to survey"),
    Program("gdb-multiarch", "gdb-multiarch", "debugs the guest"),
    Program("apt-get", "apt", "fetches stock kernels, signatures checked"),
    Program("apt-cache", "apt", "looks up stock kernels"),
    Program("dpkg-deb", "dpkg", "unpacks stock kernels"),
    Program("setpriv", "util-linux", "ends QEMU with its parent"),
)


# Programs that only some commands need.
EXTRA_PROGRAMS = (
    Program("clang", "clang", "a second compiler: --cc clang, and the tests"),
    Program("mmdebstrap", "mmdebstrap", "makes the root that builds for a newer kernel"),
    Program("newuidmap", "uidmap", "lets an ordinary user make it", version_options=()),
    Program(
        "bwrap",
        "bubblewrap",
        "runs that root's programs, and builds in odd paths",
    ),
    Program("gcc", "gcc", "builds a source tree's own tools"),
    Program("stdio.h", "libc6-dev", "builds a source tree's own tools"),
    Program("xz", "xz-utils", "unpacks a source tree"),
    Program("bc", "bc", "builds a source tree"),
    Program("flex", "flex", "builds a source tree"),
    Program("bison", "bison", "builds a source tree"),
    Program("spatch", "coccinelle", "makes a tree's own jprobes follow the stack policies"),
    Program("ssh", "openssh-client", "your own way into a guest: ssh, scp, sftp", ("-V",)),
    Program("mksquashfs", "squashfs-tools", "packs the folders that a guest sees", ("-version",)),
    Program("git", "git", "takes a tree at a revision, and applies patches"),
)

# For the project's own tests.
TEST_PROGRAMS = (
    Program("clang-19", "clang-19", "a kernel with kCFI"),
    Program("zsh", "zsh", "its completion"),
    Program("fish", "fish", "its completion"),
    Program("systemd-analyze", "systemd", "checks the nightly job's units"),
    Program("createdb", "postgresql", "a database server to keep nightly runs in"),
    # No ordinary user has its folder in PATH.
    Program("/usr/sbin/bpftool", "bpftool", "another reader of BTF", ("version",)),
    Program("perf", "linux-perf", "a reader of expressions that fetch arguments"),
    Program("stap", "systemtap", "another reader of expressions"),
    # Debian's bpftrace knows only the registers of its own architecture.
    Program("qemu-aarch64", "qemu-user", "runs arm64's bpftrace, which reads expressions, too"),
    Program("chromium", "chromium", "a browser for the page of a nightly run"),
)


@dataclass(frozen=True)
class Finding:
    """The state of a program on this machine."""

    program: Program
    # None if it is not installed.
    version: str | None
    # Why the installed one cannot be used; empty if it can.
    flaw: str = ""


def is_there(name: str) -> bool:
    """Return whether a program, or a header for the machine's own compiler, is installed."""
    if not name.endswith(".h"):
        return shutil.which(name) is not None
    if shutil.which("gcc") is None:
        return False
    probe = ["gcc", "-E", "-x", "c", "-include", name, os.devnull, "-o", os.devnull]
    return tool.run(probe).returncode == 0


def version_in(text: str) -> str:
    """Return the first version number in a program's output, or an empty string."""
    match = re.search(r"\d+(\.\d+)+", text)
    return match[0] if match else ""


def too_old(program: Program, version: str) -> bool:
    """Return whether a version is older than supported; an unknown one is not."""
    return bool(version) and _numbers(version) < _numbers(program.least)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".") if number]


def _finding(program: Program) -> Finding:
    if program.name.endswith(".h"):
        return Finding(program, "present" if is_there(program.name) else None)
    path = shutil.which(program.name)
    if path is None:
        return Finding(program, None)
    if not program.version_options:
        return Finding(program, "present")
    done = tool.run([path, *program.version_options])
    version = version_in(done.stdout + done.stderr)
    if too_old(program, version):
        return Finding(program, version, f"older than {program.least}")
    if done.returncode and not version:
        return Finding(program, "unknown", done.stderr.strip() or f"status {done.returncode}")
    return Finding(program, version or "unknown")


def examine(programs: Iterable[Program]) -> list[Finding]:
    """Return the state of each program on this machine."""
    return [_finding(program) for program in programs]


def missing_packages(findings: Sequence[Finding]) -> list[str]:
    """Return the packages of programs that are missing, or that cannot be used."""
    return sorted({f.program.package for f in findings if f.version is None or f.flaw})


def install_command(packages: Sequence[str]) -> list[str]:
    """Return the command that installs packages."""
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    return [*prefix, "apt-get", "install", "-y", "--no-install-recommends", *packages]


def install(packages: Sequence[str]) -> None:
    """Install packages, with apt's own output on the terminal; raise InfrastructureError."""
    command = install_command(packages)
    if shutil.which(command[0]) is None:
        raise InfrastructureError(
            f"{command[0]} is not installed, so nothing can be.",
            f"As root, run: apt-get install -y {' '.join(packages)}",
        )
    # apt gets the user's own environment, as if it were started in the terminal.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in ([*command[: command.index("install")], "update"], command):
        done = subprocess.run(step, env=environment, timeout=INSTALL_SECONDS)
        if done.returncode and step is command:
            raise InfrastructureError(
                f"'{' '.join(command)}' failed with status {done.returncode}.",
                "Its own messages are above.",
            )
