# SPDX-License-Identifier: GPL-2.0-only
"""One folder for each run: what was run, on which kernel, and all output of the guest."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import harness
from harness.errors import ConfigError, InfrastructureError, nearest
from harness.guest import initramfs
from harness.host import cache, home, inventory, temporary
from harness.kernel.kernel import Bootable
from harness.modules.build import Modules
from harness.run import logfile
from harness.run.logfile import LogFile, Stamped
from harness.vm import gdb
from harness.vm.machine import Machine
from harness.vm.running import version

KEPT = 20
_ABOUT = "run.json"
# A folder with this file is never removed.
_KEEP = "keep"
# The same, for as long as a nightly run names it and such folders take no more room than this:
# some ten nightly runs of the default matrix.
_NIGHT = "night"
NIGHTS_BYTES = 2 << 30
_LIBRARIES = ("paramiko", "pexpect", "pygdbmi", "qemu.qmp")
# The name of the newest run on the command line.
LAST = "last"
LIST = "See: jprobe-harness runs"
# The folders of the runs that this process has started.
begun: list[Path] = []


class About(msgspec.Struct, kw_only=True):
    """The content of run.json, which a run writes as it begins and as it ends."""

    schema: int = 1
    # As the user typed it.
    command: list[str]
    # Seconds since the epoch; `ended` is None during the run, and if the run was killed.
    started: float
    ended: float | None = None
    harness: str
    qemu: str = ""
    kernel: str
    release: str
    # The version of the package or tree, and the harness's key of the kernel.
    version: str
    kernel_key: str
    engine: str
    compiler: str
    modules_key: str
    # The version strings of other programs: make, which built the modules, the debugger if
    # there was one, Python, and the libraries that we use.
    versions: dict[str, str] = {}
    # Variables that make was given.
    make: list[str] = []
    boots: int = 0
    # How many plays were planned, and how many of them are as predicted.
    planned: int = 0
    agree: int = 0
    status: int | None = None


@dataclass(frozen=True)
class BootLog:
    """The open log files of one boot."""

    run: Path
    # From 1.
    number: int
    console: Stamped
    # The bytes of the records, as received.
    records: LogFile[bytes]
    # The lines that were played.
    plan: LogFile[bytes]
    # Opens the file for what GDB is sent and prints.
    gdb: Callable[[], LogFile[str]]

    def play(self, lines: Sequence[str]) -> None:
        """Keep lines of the plan that the guest is sent."""
        self.plan.write("".join(f"{line}\n" for line in lines).encode())


class Run:
    """A run's folder, during the run."""

    def __init__(self, kernel: Bootable, modules: Modules) -> None:
        self.folder = _new_folder()
        self._hold = temporary.hold(self.folder)
        begun.append(self.folder)
        # Sentences about logs that could not be written.
        self.unwritten: list[str] = []
        self.about = About(
            command=[Path(sys.argv[0]).name, *sys.argv[1:]],
            started=time.time(),
            harness=harness.__version__,
            kernel=kernel.spec,
            release=kernel.release,
            version=kernel.version,
            kernel_key=kernel.key,
            engine=kernel.engine.value,
            compiler=modules.compiler,
            modules_key=modules.key,
            make=[*kernel.variables],
            versions={"make": modules.make},
        )
        self._write()

    def __str__(self) -> str:
        return str(self.folder)

    def _write(self) -> None:
        data = msgspec.json.format(msgspec.json.encode(self.about), indent=2)
        self._keep(self.folder / _ABOUT, data + b"\n")

    def _keep(self, file: Path, data: bytes) -> None:
        with self._bytes(file) as log:
            log.write(data)

    def _bytes(self, file: Path) -> LogFile[bytes]:
        on_failure = functools.partial(self._note, file)
        return LogFile(lambda: file.open("wb"), on_failure, logfile.CUT.encode())

    def _text(self, file: Path) -> LogFile[str]:
        on_failure = functools.partial(self._note, file)
        return LogFile(lambda: file.open("w", encoding="utf-8"), on_failure, logfile.CUT)

    def _note(self, file: Path, error: OSError) -> None:
        sentence = f"The log {file} cannot be written: {error.strerror}."
        if sentence not in self.unwritten:
            self.unwritten.append(sentence)

    def finish(self, **fields: Any) -> None:
        """Record how the run ended; `fields` are planned, agree and status of About."""
        self.about = msgspec.structs.replace(self.about, ended=time.time(), **fields)
        self._write()
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None
        # Not before QEMU starts, as this takes as long as any step until then.
        prune()

    @contextmanager
    def boot(
        self,
        machine: Machine,
        command: Sequence[str],
        initrd: bytes,
    ) -> Iterator[BootLog]:
        """
        Keep of a boot its command and what that takes, and give files for what it says.

        The initrd gets the plan at the end, so that the guest can be booted again and plays it.
        """
        self.about.boots += 1
        # The guest boots meanwhile, which takes longer than finding the versions.
        self.about.qemu = version()
        self.about.versions |= _versions()
        if machine.config.gdb:
            self.about.versions[gdb.GDB] = gdb.version()
        self._write()
        number = self.about.boots
        copy = self.folder / f"initrd-{number}"
        self._keep(copy, initrd)
        plan = self.folder / f"plan-{number}"
        script = self.folder / f"qemu-{number}.sh"
        standalone = machine.standalone(copy, self.folder / f"records-{number}.again")
        # A word may have several lines, all of which are this comment's.
        as_run = shlex.join(command).replace("\n", "\n#   ")
        text = (
            "#!/bin/sh\n"
            "# The guest of this boot, with its console on your terminal; Ctrl-a x ends it.\n"
            "# As the harness ran it, which passed it the sockets:\n"
            f"#   {as_run}\n"
            f"exec {shlex.join(standalone)}\n"
        )
        self._keep(script, text.encode())
        with contextlib.suppress(OSError):
            script.chmod(0o755)
        with (
            self._bytes(self.folder / f"console-{number}.log") as console,
            self._bytes(self.folder / f"records-{number}") as records,
            self._bytes(plan) as lines,
        ):
            trace = functools.partial(self._text, self.folder / f"gdb-{number}.log")
            yield BootLog(self.folder, number, Stamped(console), records, lines, trace)
        self._append_plan(copy, plan)

    def _append_plan(self, initrd: Path, plan: Path) -> None:
        try:
            if lines := plan.read_text().splitlines():
                # A later archive in an initrd overrides an earlier one.
                with initrd.open("ab") as file:
                    file.write(initramfs.plan(lines))
            else:
                plan.unlink()
        except OSError as error:
            self._note(initrd, error)


@functools.cache
def _versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that communicate with guests."""

    def read() -> str:
        from importlib import metadata

        libraries = {name: metadata.version(name) for name in _LIBRARIES}
        return msgspec.json.encode(libraries).decode()

    # The folders of libraries; what is installed in one changes it.
    places = [place for place in map(Path, sys.path) if place.name.endswith("-packages")]
    looks = [(f"versions in {place}", place.stat()) for place in places if place.is_dir()]
    found = cache.remembered(looks, read) if looks else read()
    libraries = msgspec.json.decode(found, type=dict[str, str])
    return {"Python": platform.python_version(), **libraries}


def _root() -> Path:
    return home.state() / "runs"


def _new_folder() -> Path:
    """Create a folder for a run."""
    runs = _root()
    try:
        runs.mkdir(parents=True, exist_ok=True)
        prefix = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}-"
        return Path(tempfile.mkdtemp(prefix=prefix, dir=runs))
    except OSError as error:
        raise InfrastructureError(
            f"The run's logs cannot be written: {error.strerror}.",
            f"Make room in {runs}, or set XDG_STATE_HOME to another disk.",
        ) from error


def prune() -> None:
    """Remove the oldest runs, except those that the user or a nightly run keeps."""
    with contextlib.suppress(OSError):
        others = [one for one in _root().iterdir() if not is_kept(one) and not is_held(one)]
        for old in sorted(others, key=_started, reverse=True)[KEPT:]:
            _remove(old)


def _prune_nights() -> None:
    """Remove the oldest runs of nightly runs, when all of them take too much room."""
    left = NIGHTS_BYTES
    with contextlib.suppress(OSError):
        held = [one for one in _root().iterdir() if is_held(one) and not is_kept(one)]
        for folder in sorted(held, key=_started, reverse=True):
            left -= inventory.size(folder)
            if left < 0:
                _remove(folder)


def _remove(folder: Path) -> None:
    if not _is_running(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path) -> float:
    """Return when a run began; the name is no help, as older ones have local time."""
    about = _about(folder)
    if about:
        return about.started
    # Another run may have removed the folder meanwhile.
    with contextlib.suppress(OSError):
        return folder.stat().st_mtime
    return 0.0


def _about(folder: Path) -> About | None:
    """Return what a run recorded of itself; None for what is no run's, or not yet one."""
    try:
        return msgspec.json.decode((folder / _ABOUT).read_bytes(), type=About)
    except (OSError, msgspec.MsgspecError):
        return None


def _is_running(folder: Path) -> bool:
    """Return whether the process whose ID is in the folder's name still exists."""
    words = folder.name.split("-")
    return len(words) > 2 and Path("/proc", words[2]).exists()


def keep(folder: Path) -> None:
    """Keep a run's folder from ever being removed."""
    (folder / _KEEP).touch()


def hold(logs: str) -> None:
    """Keep folders while a nightly run names them, unless they are another machine's."""
    for folder in named(logs):
        if folder.parent == _root() and folder.is_dir():
            (folder / _NIGHT).touch()
    _prune_nights()


def release(folder: Path) -> None:
    """Remove a folder that no nightly run names any longer, unless the user keeps it."""
    if folder.parent == _root() and is_held(folder):
        (folder / _NIGHT).unlink()
        if not is_kept(folder):
            shutil.rmtree(folder, ignore_errors=True)


def is_held(folder: Path) -> bool:
    """Return whether a nightly run names the folder."""
    return _has(folder, _NIGHT)


def named(logs: str) -> list[Path]:
    """Return the folders that a result names."""
    return [Path(path) for path in re.split(r", (?=/)", logs) if path]


def is_kept(folder: Path) -> bool:
    return _has(folder, _KEEP)


def _has(folder: Path, mark: str) -> bool:
    # Nightly runs keep hundreds of folders, for which Path.exists() is slow.
    return os.access(f"{folder}/{mark}", os.F_OK)


def is_running(folder: Path, about: About) -> bool:
    """Return whether the run is still going on; handles a process ID that was reused."""
    return about.ended is None and _is_running(folder) and temporary.is_held(folder)


def runs() -> Iterator[tuple[Path, About]]:
    """Return all folders of runs, the newest first, each with its run.json."""
    found = [(folder, about) for folder in _root().glob("*/") if (about := _about(folder))]
    return iter(sorted(found, key=lambda run: (run[1].started, run[0]), reverse=True))


def find(name: str) -> tuple[Path, About]:
    """Return the run with that name, or the only one whose name contains `name`."""
    found = list(runs())
    if name == LAST:
        found = found[:1]
    elif all(folder.name != name for folder, _ in found):
        found = [run for run in found if name in run[0].name]
    else:
        found = [run for run in found if run[0].name == name]
    if len(found) > 1:
        raise ConfigError(f"'{name}' is in the name of {len(found)} runs.", LIST)
    if not found:
        near = nearest(name, [LAST, *(folder.name for folder, _ in runs())])
        raise ConfigError(f"There is no run '{name}'.{near}", LIST)
    return found[0]


def see(logs: str) -> str:
    """Return a hint with the commands that show the logs of a result."""
    commands = (f"jprobe-harness log {folder.name}" for folder in named(logs))
    return f"See: {'; '.join(commands)}"
