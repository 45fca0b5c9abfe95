# SPDX-License-Identifier: GPL-2.0-only
"""Boots that send again what a real guest sent, with something wrong in it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import tests
from tests.faults import emulator
from tests.faults.emulator import Script, Step
from tests.faults.fault import Inject
from tests.faults.place import Place
from tests.records import line_of, split

QEMU = "qemu-system-aarch64"
# The folder that the tests are imported from.
_ROOT = Path(tests.__file__).parent.parent
# Stands before each line of a console log.
_STAMP = re.compile(rb"^\d\d:\d\d:\d\d\.\d{3} ", re.MULTILINE)


@dataclass(frozen=True)
class Recording:
    """One boot: the console up to its end, the introduction, a record for each play."""

    console: bytes
    introduction: bytes
    records: tuple[bytes, ...]

    @property
    def all(self) -> bytes:
        return self.introduction + b"".join(self.records)


def recorded(folder: Path) -> Recording:
    """Return the first boot of a run, from its logs."""
    introduction, *records = split((folder / "records-1").read_bytes())
    console = _STAMP.sub(b"", (folder / "console-1.log").read_bytes())
    begin = re.split(rb"^.*reboot: ", console, maxsplit=1, flags=re.MULTILINE)[0]
    return Recording(begin, introduction, tuple(records))


def with_record(number: int, change: Callable[[bytes], bytes]) -> Callable[[Recording], bytes]:
    """Change the record of play `number`, from 1."""

    def make(recording: Recording) -> bytes:
        records = list(recording.records)
        records[number - 1] = change(records[number - 1])
        return replace(recording, records=tuple(records)).all

    return make


def send(line: str, data: bytes) -> Step:
    """Send bytes on one of the guest's lines."""
    return {"do": "send", "line": line, "data": data.hex(), "number": 0}


def flood(line: str, data: bytes) -> Step:
    """Send the same bytes without end."""
    return {"do": "flood", "line": line, "data": data.hex(), "number": 0}


def say(text: str) -> Step:
    """Print words on QEMU's standard error."""
    return {"do": "say", "line": "", "data": text.encode().hex(), "number": 0}


def qmp(state: str = "running") -> Step:
    """Answer QMP from then on, with the guest in that state."""
    return {"do": "qmp", "line": "", "data": state.encode().hex(), "number": 0}


def wait() -> Step:
    """Send nothing more, until QEMU is ended."""
    return {"do": "wait", "line": "", "data": "", "number": 0}


def killed(number: signal.Signals) -> Step:
    """Send QEMU a signal."""
    return {"do": "signal", "line": "", "data": "", "number": number}


def ends(status: int = 0) -> Step:
    """End QEMU with that status."""
    return {"do": "exit", "line": "", "data": "", "number": status}


POWERED_OFF = send("console", b"\nreboot: Power down\n")


# More boots than any command has.
EACH_BOOT = 100


def emulated(make: Callable[[Recording], list[Step]], boots: int = 1) -> Inject:
    """
    Put a QEMU first that does the steps that `make` returns for a sound boot.

    After `boots` boots it sends what the sound boot sent.
    """

    def inject(place: Place) -> None:
        place.have_modules()
        sound = recorded(place.sound)
        content: Script = {
            "boots": boots,
            "steps": make(sound),
            "introduction": sound.introduction.hex(),
            "records": {line_of(record): record.hex() for record in sound.records},
        }
        script = place.folder / "steps.json"
        script.write_text(json.dumps(content))
        real = shutil.which(QEMU)
        python = f"PYTHONPATH={_ROOT} exec {sys.executable} -m {emulator.__name__}"
        place.program(QEMU, f'{python} {script} {real} "$@"')

    return inject


def as_said(recording: Recording) -> bytes:
    """Return all that the guest sent, unchanged."""
    return recording.all


def replayed(change: Callable[[Recording], bytes] = as_said, *, console: bytes = b"") -> Inject:
    """
    Have a boot that ends well, with `change` made to the guest's records.

    `console` is printed on the console after what the kernel printed.
    """

    def steps(recording: Recording) -> list[Step]:
        said = recording.console + console
        return [send("console", said), send("records", change(recording)), POWERED_OFF, ends()]

    return emulated(steps)


def broken_off(*last: Step, records: int = 1, console: bytes = b"") -> Inject:
    """Have a boot that sends so many records, and then does the steps `last`."""

    def steps(recording: Recording) -> list[Step]:
        begin = recording.introduction + b"".join(recording.records[:records])
        return [send("console", recording.console + console), send("records", begin), *last]

    return emulated(steps)
