# SPDX-License-Identifier: GPL-2.0-only
"""The place where one command runs with a fault, and what it leaves behind."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import filelock
import pexpect

from harness.host import home

SECONDS = 600
# include/uapi/linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
KERNEL = "debian:6.1"


@dataclass(frozen=True)
class Ran:
    """The exit status and output of a command."""

    status: int
    output: str


@dataclass
class Place:
    """A folder for one command, with the command's arguments and environment."""

    folder: Path
    # The cache that this machine's tests share.
    shared: Path
    words: list[str] = field(default_factory=list)
    # The logs of a run in which nothing was wrong.
    sound: Path = Path()
    # A cache with all that such a run uses, for commands that do not change it.
    ready: Path | None = None
    # Changes to the test's own environment; None unsets a variable.
    environment: dict[str, str | None] = field(default_factory=dict)
    # Words before the command, of a command that runs it.
    prefix: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("temporary", "state", "work"):
            (self.folder / name).mkdir(parents=True)
        self.environment |= {
            "XDG_STATE_HOME": str(self.folder / "state"),
            # The shared cache was filled from the archives of the user's own configuration.
            "XDG_CONFIG_HOME": str(home.config().parent),
            "TMPDIR": str(self.folder / "temporary"),
        }

    @property
    def work(self) -> Path:
        """The folder that the command runs in."""
        return self.folder / "work"

    @property
    def temporary(self) -> Path:
        return Path(self.environment["TMPDIR"] or "/tmp")

    @property
    def cache(self) -> Path:
        if "XDG_CACHE_HOME" not in self.environment:
            self.have_own_cache()
        return Path(self.environment["XDG_CACHE_HOME"] or "") / "jprobe-harness"

    def have_own_cache(self) -> None:
        """Have a cache that may be changed, and in which nothing was built."""
        self.have_cache(self.folder / "cache")

    def have_cache(self, folder: Path, kernel: str = KERNEL) -> None:
        """Have a cache in `folder` that has a kernel, and nothing that is built for it."""
        self.environment["XDG_CACHE_HOME"] = str(folder)
        pointer = self.shared / "resolved" / f"{kernel.replace(':', '-')}.json"
        key = json.loads(pointer.read_text())["key"]
        self.link(pointer, self.shared / "debian" / key, *self._entries("programs"))

    def have_modules(self) -> None:
        """Have the modules of a run in which nothing was wrong."""
        if self.ready and "XDG_CACHE_HOME" not in self.environment:
            self.environment["XDG_CACHE_HOME"] = str(self.ready)
            return
        for kind in ("modules", "proofs", "initramfs"):
            self.link(*self._entries(kind))

    def have_build_roots(self) -> None:
        """Have the build roots for kernels that are newer than this machine."""
        self.link(*self._entries("buildroots"))

    def _entries(self, kind: str) -> list[Path]:
        # Leave out what another run is still making, and its lock.
        found = (self.shared / kind).glob("[!.]*")
        return [entry for entry in found if entry.suffix != ".lock"]

    def link(self, *entries: Path) -> None:
        """Take entries of the shared cache, by hard links: a kernel has 16,000 files."""
        for entry in entries:
            folder = self.cache / entry.parent.name
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / entry.name).exists():
                pair = (str(entry), str(folder / entry.name))
                subprocess.run(["cp", "--archive", "--link", *pair], check=True)

    def write(self, name: str, text: str) -> Path:
        """Write a file below the folder that the command runs in, and return its path."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def program(self, name: str, script: str) -> None:
        """Put a program of that name, a shell script, first on PATH."""
        path = self.folder / "programs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        self.environment["PATH"] = f"{path.parent}:{os.environ['PATH']}"

    def _command(self, words: Sequence[str] = ()) -> list[str]:
        return [*self.prefix, "jprobe-harness", *(words or self.words)]

    def _variables(self) -> dict[str, str]:
        assert self.cache
        variables = os.environ | self.environment
        return {name: value for name, value in variables.items() if value is not None}

    def on_terminal(self, columns: int) -> pexpect.spawn[str]:
        """Start the command on a terminal of so many columns."""
        program, *words = self._command()
        return pexpect.spawn(
            program,
            words,
            cwd=self.work,
            env=self._variables(),
            timeout=SECONDS,
            dimensions=(24, columns),
            encoding="utf-8",
            codec_errors="replace",
        )

    def run_on_terminal(self, columns: int) -> Ran:
        """Run the command on such a terminal, and wait for its end."""
        terminal = self.on_terminal(columns)
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus is not None, f"ended by signal {terminal.signalstatus}"
        return Ran(terminal.exitstatus, terminal.before or "")

    def started(self, words: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start the command, or another one in the same place."""
        return subprocess.Popen(
            self._command(words),
            cwd=self.work,
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def run(self, words: Sequence[str] = ()) -> Ran:
        """Run the command, or another one, and wait for its end."""
        with self.started(words) as process:
            try:
                output, _ = process.communicate(timeout=SECONDS)
            finally:
                process.kill()
        return Ran(process.returncode, output)

    def left(self) -> list[str]:
        """Return what the command left behind: a description of each process, file and lock."""
        return [
            *(f"process {Path(f'/proc/{pid}/comm').read_text().strip()}" for pid in orphans()),
            *(f"file {path}" for path in self.temporary.glob("*")),
            *(f"file {path}" for path in self.cache.rglob(".tmp-*")),
            *(f"lock {path}" for path in self.cache.rglob("*.lock") if _is_held(path)),
        ]


def end(pid: int) -> None:
    """Kill a process that was left behind, and wait for it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def adopt_orphans() -> None:
    """Make this process the parent of descendants that outlive their own parents."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def orphans() -> list[int]:
    """Processes that outlived their parents and do not end within a second; others are reaped."""
    pid = os.getpid()
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    # What wrote to a pipe that a command read gets its SIGPIPE after the command's end.
    return [child for child in children if not _is_reaped(child)]


def _is_reaped(pid: int) -> bool:
    handle = os.pidfd_open(pid)
    try:
        select.select([handle], [], [], 1)
        return bool(os.waitpid(pid, os.WNOHANG)[0])
    finally:
        os.close(handle)


def _is_held(path: Path) -> bool:
    try:
        with filelock.FileLock(path, timeout=0):
            return False
    except filelock.Timeout:
        return True
