# SPDX-License-Identifier: GPL-2.0-only
"""A play under the user's own debugger, stopped at the hit."""

from __future__ import annotations

import contextlib
import json
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.errors import ConfigError, Stopped
from harness.guest import module_elf, symbols
from harness.guest.symbols import Symbol
from harness.host import tool
from harness.host.deadline import Deadline
from harness.inspect.console_pump import ConsolePump
from harness.inspect.guest import Guest
from harness.inspect.witness import HIT
from harness.kernel.kernel import Bootable, Engine, Kernel
from harness.model.case import Case
from harness.model.observation import Observation
from harness.modules.build import names
from harness.modules.casefunctions import symbol
from harness.run.plan import Outcome, Play
from harness.run.repro import judge_record
from harness.vm import qmp
from harness.vm.gdb import GDB, GdbError, HasFileno
from harness.vm.stub import LOOPBACK, Door

TARGETS = "probe-targets"
STATE = "jprobe_ctl"
# This module runs in GDB, and cannot be imported here.
COMMANDS = Path(qmp.__file__).with_name("jp.py")
# The sections of a module that GDB needs and that stay in memory.
_SECTIONS = (".text", ".text.unlikely", ".rodata", ".data", ".bss")
_THIS_MODULE = ".gnu.linkonce.this_module"
# Functions that every supported kernel has.
_KNOWN = ("_stext", "register_kprobe")
# QEMU's last output when a debugger ends it.
_BY_DEBUGGER = "Terminated via GDBstub"


class Debugged:
    """
    A guest whose plays wait for a debugger to continue them.

    The debugger comes through a `door`, or by QEMU's own socket, which is in a folder of this
    user's alone: who can reach it can do all that QEMU's monitor can, and there is no filter.
    Raises GdbError where the guest does not report its addresses, ConfigError for a
    vmlinux of another kernel.
    """

    def __init__(self, guest: Guest, vmlinux: Path | None, door: Door | None = None) -> None:
        self._guest = guest
        self._door = door
        self._folder = guest.logs.folder
        self._engine = guest.kernel.engine
        self._files = {
            name: module_elf.read(guest.modules.folder / f"{name}.ko")
            for name in names(self._engine)
        }
        self._places = {
            name: module_elf.addresses(self._ask(module_elf.command(name))) for name in self._files
        }
        self._kernel, self._offset = self._symbols(vmlinux)
        self._play: Play | None = None
        self.outcome: Outcome | None = None

    def _ask(self, command: str) -> str:
        ran = self._guest.run(command)
        if ran.status:
            raise GdbError(f"The guest fails at '{command}': {ran.output.strip()}.")
        return ran.output

    def _symbols(self, vmlinux: Path | None) -> tuple[Path, int]:
        """Return a file with the kernel's symbols, and the offset of the kernel from it."""
        kernel = symbols.parse(self._ask("cat /proc/kallsyms"))
        if not kernel:
            raise GdbError("The guest does not report its kernel's symbols.")
        # Of several with a name, the kernel probes the first.
        self._running = {one.name: one.address for one in reversed(kernel)}
        if vmlinux:
            return vmlinux, _offset(kernel, vmlinux, self._guest.kernel.spec)
        file = self._folder / "kernel.symbols"
        file.write_bytes(symbols.elf(kernel))
        return file, 0

    def stage(self, play: Play) -> Path:
        """
        Stop the guest and send it a play; return the path of the script for gdb -x.

        The guest continues when GDB continues it.
        """
        self._play, self.outcome = play, None
        (self._folder / "play.json").write_text(json.dumps(self._describe(play), indent=1))
        before = self._write("before.gdb", self._settings(play))
        after = self._write("after.gdb", self._hit(play))
        connect = [self._symbol_file, f"target remote {self._server}", f"source {after}"]
        script = self._write("guest.gdb", [f"source {before}", *connect, "continue"])
        launch = json.dumps({"configurations": [self._cppdbg(play, before, after)]}, indent=1)
        (self._folder / "launch.json").write_text(launch)
        qmp.execute(self._guest.session.machine.qmp, "stop")
        self._guest.session.send(f"play {play.line}")
        return script

    def _describe(self, play: Play) -> dict[str, Any]:
        """Return the play as harness/vm/jp.py reads it."""
        port = names(Engine.PORT)[0] if self._engine is Engine.PORT else None
        real = play.case.real
        return {
            "case": play.case.name,
            "variant": play.variant.name,
            "shows": play.case.shows,
            "entry": self._running[real.function]
            if real
            else self._ours(symbol(play.case, "target")),
            "hit": self._ours(HIT) if real else None,
            "area": play.case.layout.stack_size,
            "stack_size": self._guest.introduction.thread_size,
            "arguments": described_arguments(play.case),
            "port": self._places[port][_THIS_MODULE] if port else None,
            "state": self._files[port].per_cpu[STATE] if port else 0,
        }

    def _ours(self, function: str) -> int:
        """Return the address of a function of the test module's."""
        return self._places[TARGETS][".text"] + self._files[TARGETS].functions[function]

    def _write(self, name: str, lines: list[str]) -> Path:
        script = self._folder / name
        script.write_text("".join(f"{line}\n" for line in lines))
        return script

    @property
    def _symbol_file(self) -> str:
        return f"symbol-file -o {self._offset:#x} {word(self._kernel)}"

    @property
    def _server(self) -> str:
        if self._door:
            return f"{LOOPBACK}:{self._door.port}"
        return str(self._guest.session.machine.gdb)

    def _settings(self, play: Play) -> list[str]:
        """Return the GDB commands to run before it connects."""
        return [
            f"# {play} on {self._guest.kernel.spec}",
            "set confirm off",
            "set breakpoint always-inserted on",
            "set architecture aarch64",
        ]

    def _hit(self, play: Play) -> list[str]:
        """Return the GDB commands to run before the guest continues."""
        handler = symbol(play.case, "handler")
        return [
            *(self._add_module(name) for name in self._files),
            f"directory {word(self._guest.modules.folder)}",
            "set confirm on",
            f"source {COMMANDS}",
            f"jp-load {self._folder}/play.json",
            "echo jp-args: the arguments; jp-diff: what changed; jp-save: what was saved.\\n",
            f"echo To stop in the handler: hbreak *{handler}, and continue.\\n",
        ]

    def _cppdbg(self, play: Play, before: Path, after: Path) -> dict[str, Any]:
        """Return a launch configuration for VS Code's C++ debugger."""
        return {
            "name": str(play),
            "type": "cppdbg",
            "request": "launch",
            "MIMode": "gdb",
            "miDebuggerPath": GDB,
            "miDebuggerServerAddress": self._server,
            "program": str(self._kernel),
            "cwd": str(self._guest.modules.folder),
            "targetArchitecture": "arm64",
            "setupCommands": [{"text": f"source {before}"}],
            "postRemoteConnectCommands": [
                {"text": command} for command in (self._symbol_file, f"source {after}")
            ],
            "launchCompleteCommand": "exec-continue",
        }

    def _add_module(self, name: str) -> str:
        places = self._places[name]
        sections = [one for one in self._files[name].sections if one in _SECTIONS and one in places]
        words = " ".join(f"-s {one} {places[one]:#x}" for one in sections)
        return f"add-symbol-file {word(self._guest.modules.folder / name)}.ko {words}"

    def _attend(self) -> None:
        session = self._guest.session
        session.look()
        for record in session.take():
            if isinstance(record, Observation) and self._play:
                self.outcome = judge_record(self._play, record, self._guest.modules)

    def run_gdb(self, script: Path) -> None:
        """Run GDB in the user's terminal, until it ends."""
        with ConsolePump(self._guest.session, self._attend):
            # Ctrl-C is for GDB.
            previous = signal.signal(signal.SIGINT, lambda number, frame: None)
            try:
                # GDB gets the user's own environment, as if it was started in the terminal.
                subprocess.run(tool.bound([GDB, "--nx", "--quiet", "-x", script]))
            finally:
                signal.signal(signal.SIGINT, previous)
        self._let_go_on()

    def _let_go_on(self) -> None:
        """Wait for the end of a play that a debugger has detached from."""
        session = self._guest.session
        standing = None if session.ended else qmp.standing(session.machine.qmp)
        if self.outcome or standing is None or standing.state != qmp.RUNNING:
            return
        deadline = Deadline(session.deadlines.play)
        while not (self.outcome or session.ended or deadline.passed):
            select.select([session], [], [], deadline.left)
            self._attend()

    def wait(self, on_outcome: Callable[[], object]) -> None:
        """
        Wait until a debugger elsewhere has ended the guest, or for Ctrl-C.

        `on_outcome` is called once the play is over; the guest runs on after that.
        """
        session, door = self._guest.session, self._door
        sources: list[HasFileno] = [session, *([door] if door else [])]
        with contextlib.suppress(KeyboardInterrupt):
            while not session.ended:
                select.select(sources, [], [], door.seconds if door else None)
                if door:
                    door.look(session.machine.gdb)
                before = self.outcome
                self._attend()
                if self.outcome is not before:
                    on_outcome()

    def check(self) -> None:
        """
        Raise if the guest or QEMU died, or if the play has no outcome.

        Raises Stopped if a debugger ended the guest or was quit, or after Ctrl-C.
        """
        session = self._guest.session
        if session.ended and _BY_DEBUGGER not in session.machine.output:
            session.check_end()
        if self.outcome is None:
            raise Stopped(
                "the guest was ended before its play was over, so nothing was judged.",
                "In GDB, continue lets the play go on.",
            )


def word(path: Path) -> str:
    """A path as one word of a command of GDB's that takes several."""
    return re.sub(r"""([\s\\'"])""", r"\\\1", str(path))


def check_installed() -> None:
    """Raise GdbError before a guest is started in vain."""
    if shutil.which(GDB) is None:
        raise GdbError(f"{GDB} is not installed.", tool.DOCTOR)


def described_arguments(case: Case) -> list[dict[str, Any]]:
    """A case's arguments, with their placement, as harness/vm/jp.py reads them."""
    return [
        {
            "index": index,
            "type": argument.type.spelling,
            "size": argument.type.size,
            "registers": list(placement.general),
            "stack": placement.stack,
            "by_reference": placement.by_reference,
            "passed": argument.value.hex(),
            "value": sorted(argument.type.value_bytes),
        }
        for index, (argument, placement) in enumerate(zip(case.arguments, case.layout.placements))
    ]


def vmlinux_of(kernel: Bootable) -> Path | None:
    """Return the kernel's own file with symbols, if it was built here or by the user."""
    if not isinstance(kernel, Kernel):
        return None
    file = kernel.kbuild.folder / "vmlinux"
    return file if file.is_file() else None


def _offset(kernel: list[Symbol], vmlinux: Path, spec: str) -> int:
    """
    Return how far the kernel is from the address that it was linked to (KASLR).

    Raises ConfigError if the file is of another kernel, in which the distance between two
    functions differs.
    """
    running = {one.name: one.address for one in kernel if one.name in _KNOWN}
    try:
        with vmlinux.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                raise ConfigError(f"{vmlinux} has no symbols.", "Give one that was not stripped.")
            linked = {name: (table.get_symbol_by_name(name) or [])[:1] for name in _KNOWN}
    except (OSError, ELFError) as error:
        raise ConfigError(f"{vmlinux} cannot be read: {error}.") from error
    offsets = {running[name] - one["st_value"] for name in running for one in linked[name]}
    if len(offsets) != 1:
        raise ConfigError(
            f"{vmlinux} is not of the kernel that runs, {spec}.",
            "Give that of the same build.",
        )
    return int(offsets.pop())
