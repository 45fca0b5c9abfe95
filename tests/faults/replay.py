# SPDX-License-Identifier: GPL-2.0-only
"""What a real guest said, said again with something wrong in it."""

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
from tests.records import sealed, split

QEMU = "qemu-system-aarch64"
# From where the tests are imported.
_ROOT = Path(tests.__file__).parent.parent
# Before each line of a console log.
_STAMP = re.compile(rb"^\d\d:\d\d:\d\d\.\d{3} ", re.MULTILINE)


@dataclass(frozen=True)
class Recording:
    """One boot: the console up to the first play, the introduction, a record for each play."""

    console: bytes
    introduction: bytes
    records: tuple[bytes, ...]

    @property
    def all(self) -> bytes:
        return self.introduction + b"".join(self.records)


def recorded(folder: Path) -> Recording:
    """The first boot of a run, from its logs."""
    introduction, *records = split((folder / "records-1").read_bytes())
    console = _STAMP.sub(b"", (folder / "console-1.log").read_bytes())
    begin = re.split(rb"^.*jp#1\n", console, maxsplit=1, flags=re.MULTILINE)[0]
    return Recording(begin, introduction, tuple(records))


def _line(record: bytes) -> str:
    """Of the plan, to which a record is the answer."""
    first, _, _ = record.partition(b"\n")
    return first.partition(b" line=")[2].decode()


def changed(
    number: int, old: bytes, new: bytes, seal: Callable[[bytes], bytes] = sealed
) -> Callable[[Recording], bytes]:
    """The record of a play, from 1, with a pattern replaced, and its checksum right."""

    def change(recording: Recording) -> bytes:
        records = list(recording.records)
        text, count = re.subn(old, new, records[number - 1])
        assert count, f"{old!r} is not in {records[number - 1]!r}"
        records[number - 1] = seal(text)
        return replace(recording, records=tuple(records)).all

    return change


def send(line: str, data: bytes) -> Step:
    """Bytes on one of the guest's lines."""
    return {"do": "send", "line": line, "data": data.hex(), "number": 0}


def flood(line: str, data: bytes) -> Step:
    """The same bytes without end."""
    return {"do": "flood", "line": line, "data": data.hex(), "number": 0}


def say(text: str) -> Step:
    """Words of QEMU's own."""
    return {"do": "say", "line": "", "data": text.encode().hex(), "number": 0}


def qmp(state: str = "running") -> Step:
    """QEMU answers from then on, and says that of its guest."""
    return {"do": "qmp", "line": "", "data": state.encode().hex(), "number": 0}


def wait() -> Step:
    """Nothing more comes."""
    return {"do": "wait", "line": "", "data": "", "number": 0}


def killed(number: signal.Signals) -> Step:
    """A signal to QEMU."""
    return {"do": "signal", "line": "", "data": "", "number": number}


def ends(status: int = 0) -> Step:
    """QEMU's end."""
    return {"do": "exit", "line": "", "data": "", "number": status}


POWERED_OFF = send("console", b"\nreboot: Power down\n")


# More than any command boots.
EACH_BOOT = 100


def emulated(make: Callable[[Recording], list[Step]], boots: int = 1) -> Inject:
    """
    A QEMU that does the steps that are made from what a sound boot said.

    After so many boots it says what the sound one said.
    """

    def inject(place: Place) -> None:
        place.have_modules()
        sound = recorded(place.sound)
        content: Script = {
            "boots": boots,
            "steps": make(sound),
            "introduction": sound.introduction.hex(),
            "records": {_line(record): record.hex() for record in sound.records},
        }
        script = place.folder / "steps.json"
        script.write_text(json.dumps(content))
        real = shutil.which(QEMU)
        python = f"PYTHONPATH={_ROOT} exec {sys.executable} -m {emulator.__name__}"
        place.program(QEMU, f'{python} {script} {real} "$@"')

    return inject


def as_said(recording: Recording) -> bytes:
    """All records."""
    return recording.all


def replayed(change: Callable[[Recording], bytes] = as_said, *, console: bytes = b"") -> Inject:
    """
    A boot that ends well, with something else in the guest's records.

    `console` is what the kernel says beside what it said.
    """

    def steps(recording: Recording) -> list[Step]:
        said = recording.console + console
        return [send("console", said), send("records", change(recording)), POWERED_OFF, ends()]

    return emulated(steps)


def broken_off(*last: Step, records: int = 1, console: bytes = b"") -> Inject:
    """A boot in which so many records came before something happened."""

    def steps(recording: Recording) -> list[Step]:
        begin = recording.introduction + b"".join(recording.records[:records])
        return [send("console", recording.console + console), send("records", begin), *last]

    return emulated(steps)
