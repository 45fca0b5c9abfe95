# SPDX-License-Identifier: GPL-2.0-only
"""GDB on QEMU's stub, driven through GDB/MI."""

from __future__ import annotations

import functools
import json
import select
import shutil
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.errors import InfrastructureError
from harness.host import tool

GDB = "gdb-multiarch"
# For an answer to a command.
SECONDS = 30
EXIT_SECONDS = 5
# GDB's numbers of x29, sp and pc; those of x0-x7 are 0 to 7.
FP, SP, PC = 29, 31, 32
_REGISTERS = " ".join(map(str, (*range(8), FP, SP, PC)))


class GdbError(InfrastructureError):
    """GDB is not there, or does not do what it was told."""


class GdbSilent(GdbError):
    """The guest did not stop in time."""


@functools.cache
def version() -> str:
    """GDB's, as it names itself."""
    return tool.check([GDB, "--version"]).partition("\n")[0]


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Writer(Protocol):
    def write(self, text: str, /) -> object: ...


class Talker(HasFileno, Protocol):
    """A guest that has more to say than GDB hears, and blocks until somebody listens."""

    def look(self) -> bool:
        """Read what it said, when it is readable; False once its QEMU has ended."""


class Gdb:
    """
    Attaches to a stub on entry, which stops the guest; is gone on exit.

    A command's answer is the result record with the command's own token, however
    late it comes and whatever comes before it (GDB manual, "GDB/MI Output
    Syntax").  `stub` is the socket of the QEMU of which `guest` tells.  `trace`
    takes all commands and records.
    """

    def __init__(
        self,
        stub: Path,
        guest: Talker,
        command: Sequence[str] = (GDB, "--nx"),
        trace: Writer | None = None,
    ) -> None:
        self._stub = stub
        self._trace = trace
        self._guest = guest
        self._command = command
        self._token = 0
        self._records: deque[dict[str, Any]] = deque()

    def __enter__(self) -> Gdb:
        from pygdbmi.gdbcontroller import GdbController

        if shutil.which(self._command[0]) is None:
            raise GdbError(f"{self._command[0]} is not installed.", tool.DOCTOR)
        self._controller = GdbController(
            # It must not outlive this process, however that one ends.
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                *tool.with_stated_environment(self._command),
                "--quiet",
                "--interpreter=mi3",
            ],
            time_to_check_for_additional_output_sec=0,
        )
        try:
            self.execute("-gdb-set architecture aarch64")
            # Not to be lifted and put back, all of them, at each stop.
            self.execute("-gdb-set breakpoint always-inserted on")
            self.execute(f"-target-select remote {self._stub}")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def _end(self) -> None:
        process = self._controller.gdb_process
        if process is None:
            return
        process.kill()
        process.communicate(timeout=EXIT_SECONDS)

    def _tell(self, line: str) -> None:
        if self._trace:
            self._trace.write(f"{line}\n")

    def _next(self, deadline: float) -> dict[str, Any] | None:
        """The next record of GDB's, None when none comes in time."""
        process = self._controller.gdb_process
        assert process and process.stdout
        sources: list[HasFileno] = [process.stdout, self._guest]
        while not self._records:
            seconds = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select(sources, [], [], seconds)
            if not ready:
                return None
            if self._guest in ready and not self._guest.look():
                # GDB itself may not notice before it sends something.
                raise GdbError("QEMU has ended.")
            if process.stdout not in ready:
                continue
            records = self._controller.get_gdb_response(0, raise_error_on_timeout=False)
            for record in records:
                self._tell(f"< {json.dumps(record)}")
            self._records += records
            if not self._records and process.poll() is not None:
                raise GdbError(f"{GDB} ended with status {process.returncode}.", tool.DOCTOR)
        return self._records.popleft()

    def execute(self, command: str, seconds: float = SECONDS) -> dict[str, Any]:
        """Run a GDB/MI command and return its results; raises GdbError."""
        self._token += 1
        self._tell(f"> {self._token}{command}")
        self._controller.write(f"{self._token}{command}", read_response=False)
        deadline = time.monotonic() + seconds
        stops = []
        while record := self._next(deadline):
            if _is_stop(record):
                stops.append(record)
            if record["type"] != "result" or record["token"] != self._token:
                continue
            # Somebody will wait for a stop that came before the answer.
            self._records.extendleft(reversed(stops))
            if record["message"] == "error":
                raise GdbError(
                    f"GDB cannot do '{command}': {record['payload']['msg'].rstrip('.')}."
                )
            return record["payload"] or {}
        raise GdbError(f"GDB did not answer '{command}' within {seconds:.0f} s.")

    def resume(self) -> None:
        """Let all CPUs run; earlier stops are forgotten."""
        self._records.clear()
        self.execute("-exec-continue")

    def wait_stop(self, seconds: float) -> None:
        """
        Wait until the guest has stopped at a breakpoint.

        Raises GdbSilent when it does not in time, and GdbError when it stops for
        another reason, such as its end.
        """
        deadline = time.monotonic() + seconds
        while record := self._next(deadline):
            if not _is_stop(record):
                continue
            reason = record["payload"].get("reason", "a lost connection")
            if reason != "breakpoint-hit":
                raise GdbError(f"The guest stopped for {reason}.")
            return
        raise GdbSilent(f"The guest did not stop within {seconds:.0f} s.")

    def break_at(self, address: int) -> int:
        """Set a hardware breakpoint; returns its number."""
        result = self.execute(f"-break-insert -h *{address:#x}")
        return int(result["bkpt"]["number"])

    def delete(self, breakpoints: Sequence[int]) -> None:
        """Remove breakpoints."""
        self.execute(f"-break-delete {' '.join(map(str, breakpoints))}")

    def registers(self) -> dict[int, int]:
        """By GDB's number: x0-x7, x29, sp and pc of the CPU that stopped."""
        values = self.execute(f"-data-list-register-values x {_REGISTERS}")["register-values"]
        return {int(value["number"]): int(value["value"], 16) for value in values}

    def memory(self, address: int, size: int) -> bytes:
        """Bytes as the CPU that stopped sees them."""
        if not size:
            return b""
        (block,) = self.execute(f"-data-read-memory-bytes {address:#x} {size}")["memory"]
        data = bytes.fromhex(block["contents"])
        if len(data) != size:
            raise GdbError(f"GDB could read {len(data)} of {size} bytes at {address:#x}.")
        return data


def _is_stop(record: dict[str, Any]) -> bool:
    return (record["type"], record["message"]) == ("notify", "stopped")
