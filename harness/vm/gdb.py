# SPDX-License-Identifier: GPL-2.0-only
"""GDB on QEMU's stub, driven through GDB/MI."""

from __future__ import annotations

import functools
import json
import select
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import InfrastructureError
from harness.host import tool
from harness.host.deadline import Deadline

if TYPE_CHECKING:
    from pygdbmi.gdbcontroller import GdbController

GDB = "gdb-multiarch"
# How long a command may take to be answered.
SECONDS = 30
EXIT_SECONDS = 5
# GDB's numbers of x29, sp and pc; those of x0-x7 are 0 to 7.
FP, SP, PC = 29, 31, 32
_REGISTERS = " ".join(map(str, (*range(8), FP, SP, PC)))


class GdbError(InfrastructureError):
    """GDB is not installed, or a command failed."""


class GdbSilent(GdbError):
    """The guest did not stop in time."""


@functools.cache
def version() -> str:
    """Return the first line that GDB prints for --version."""
    return tool.check([GDB, "--version"]).partition("\n")[0]


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Writer(Protocol):
    def write(self, text: str, /) -> object: ...


class Talker(HasFileno, Protocol):
    """A guest whose other output must be read while GDB is waited for, or the guest blocks."""

    def look(self) -> bool:
        """Read its output when it is readable; return False once its QEMU has ended."""


@contextmanager
def attached(
    stub: Path, guest: Talker, command: Sequence[str] = (GDB, "--nx"), trace: Writer | None = None
) -> Iterator[Gdb]:
    """
    Attach GDB to a stub, which stops the guest, and end GDB on exit.

    `stub` is the stub's socket of the QEMU that runs `guest`.  All commands and records are
    written to `trace`.  Raises GdbError.
    """
    from pygdbmi.gdbcontroller import GdbController

    if shutil.which(command[0]) is None:
        raise GdbError(f"{command[0]} is not installed.", tool.DOCTOR)
    controller = GdbController(
        tool.bound([*tool.with_stated_environment(command), "--quiet", "--interpreter=mi3"]),
        time_to_check_for_additional_output_sec=0,
    )
    process = controller.gdb_process
    assert process
    try:
        gdb = Gdb(controller, guest, trace)
        gdb.execute("-gdb-set architecture aarch64")
        # Otherwise GDB removes and inserts all breakpoints at each stop.
        gdb.execute("-gdb-set breakpoint always-inserted on")
        gdb.execute(f"-target-select remote {stub}")
        yield gdb
    finally:
        process.kill()
        process.communicate(timeout=EXIT_SECONDS)


class Gdb:
    """
    GDB, as attached() starts it.

    A command's answer is the result record with the command's own token, however
    late it comes and whatever comes before it (GDB manual, "GDB/MI Output
    Syntax").
    """

    def __init__(self, controller: GdbController, guest: Talker, trace: Writer | None) -> None:
        self._controller = controller
        self._guest = guest
        self._trace = trace
        self._token = 0
        self._records: deque[dict[str, Any]] = deque()

    def _log(self, line: str) -> None:
        if self._trace:
            self._trace.write(f"{line}\n")

    def _next(self, deadline: Deadline) -> dict[str, Any] | None:
        """Return GDB's next record, or None when none comes in time; raise GdbError."""
        process = self._controller.gdb_process
        assert process and process.stdout
        sources: list[HasFileno] = [process.stdout, self._guest]
        while not self._records:
            ready, _, _ = select.select(sources, [], [], deadline.left)
            if not ready:
                return None
            if self._guest in ready and not self._guest.look():
                # GDB itself may not notice before it next sends something.
                raise GdbError("QEMU has ended.")
            if process.stdout not in ready:
                continue
            records = self._controller.get_gdb_response(0, raise_error_on_timeout=False)
            for record in records:
                self._log(f"< {json.dumps(record)}")
            self._records += records
            if not self._records and process.poll() is not None:
                raise GdbError(f"{GDB} ended with status {process.returncode}.", tool.DOCTOR)
        return self._records.popleft()

    def execute(self, command: str, seconds: float = SECONDS) -> dict[str, Any]:
        """Run a GDB/MI command and return its results; raises GdbError."""
        self._token += 1
        self._log(f"> {self._token}{command}")
        self._controller.write(f"{self._token}{command}", read_response=False)
        deadline = Deadline(seconds)
        stops = []
        while record := self._next(deadline):
            if _is_stop(record):
                stops.append(record)
            if record["type"] != "result" or record["token"] != self._token:
                continue
            # wait_stop() must find a stop that came before the answer.
            self._records.extendleft(reversed(stops))
            if record["message"] == "error":
                raise GdbError(
                    f"GDB cannot do '{command}': {record['payload']['msg'].rstrip('.')}."
                )
            return record["payload"] or {}
        raise GdbError(f"GDB did not answer '{command}' within {seconds:.0f} s.")

    def resume(self) -> None:
        """Let all CPUs run, and forget earlier stops."""
        self._records.clear()
        self.execute("-exec-continue")

    def wait_stop(self, seconds: float) -> None:
        """
        Wait until the guest has stopped at a breakpoint.

        Raises GdbSilent when it does not in time, and GdbError when it stops for
        another reason, such as its end.
        """
        deadline = Deadline(seconds)
        while record := self._next(deadline):
            if not _is_stop(record):
                continue
            reason = record["payload"].get("reason", "a lost connection")
            if reason != "breakpoint-hit":
                raise GdbError(f"The guest stopped for {reason}.")
            return
        raise GdbSilent(f"The guest did not stop within {seconds:.0f} s.")

    def break_at(self, address: int) -> int:
        """Set a hardware breakpoint and return its number."""
        result = self.execute(f"-break-insert -h *{address:#x}")
        return int(result["bkpt"]["number"])

    def delete(self, breakpoints: Sequence[int]) -> None:
        """Remove breakpoints."""
        self.execute(f"-break-delete {' '.join(map(str, breakpoints))}")

    def registers(self) -> dict[int, int]:
        """Return x0-x7, x29, sp and pc of the CPU that stopped, by GDB's numbers."""
        values = self.execute(f"-data-list-register-values x {_REGISTERS}")["register-values"]
        return {int(value["number"]): int(value["value"], 16) for value in values}

    def memory(self, address: int, size: int) -> bytes:
        """Return bytes of memory as the CPU that stopped sees them; raise GdbError."""
        if not size:
            return b""
        (block,) = self.execute(f"-data-read-memory-bytes {address:#x} {size}")["memory"]
        data = bytes.fromhex(block["contents"])
        if len(data) != size:
            raise GdbError(f"GDB could read {len(data)} of {size} bytes at {address:#x}.")
        return data


def _is_stop(record: dict[str, Any]) -> bool:
    return (record["type"], record["message"]) == ("notify", "stopped")
