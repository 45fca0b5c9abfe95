# SPDX-License-Identifier: GPL-2.0-only
"""Control sequences for a terminal, from every place that text comes from."""

from __future__ import annotations

import shlex
from dataclasses import replace

from tests.faults.emulator import Step
from tests.faults.fault import Blame, Fault, Inject
from tests.faults.inject import arguments, both, case, command, file, tree
from tests.faults.place import Place
from tests.faults.replay import (
    EACH_BOOT,
    POWERED_OFF,
    Recording,
    emulated,
    ends,
    replayed,
    say,
    send,
)
from tests.records import Line, changed, joined, taken_apart

# Writes to the clipboard and clears the screen, with ESC and with C1; reverses the direction of
# text; asks for the cursor's position.
HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x9b2J\u202e\x1b[6n\b\u2066x"
SEEN = r"\\x1b\]52;c;ZXZpbA==\\x07"


def complaining(recording: Recording) -> list[Step]:
    """Return a boot in which the kernel warns of something during the first play."""
    said = f"\nWARNING: at {HOSTILE}\n---[ end trace ]---\njp#1\n".encode()
    return [
        send("console", recording.console + said),
        send("records", recording.all),
        POWERED_OFF,
        ends(),
    ]


def refusing(recording: Recording) -> bytes:
    """Return records in which the guest cannot play the first line, and says why."""
    play, *_ = taken_apart(recording.records[0])
    record = joined([play, Line("error", {}, {"text": HOSTILE.encode()})])
    return replace(recording, records=(record, *recording.records[1:])).all


def another_release(recording: Recording) -> bytes:
    introduction = changed(recording.introduction, "guest", release=b"\x1b[2J\x07")
    return replace(recording, introduction=introduction).all


def failing(recording: Recording) -> list[Step]:
    return [say(f"qemu: {HOSTILE}\n"), ends(1)]


def patch(place: Place) -> None:
    """Pass prose as a patch, in a file whose name is a control sequence."""
    place.words += ["--patch", place.write(f"{HOSTILE}.patch", "Dear all,\n").name]


def compiler(place: Place) -> None:
    """Put a compiler first that complains of its input, with control sequences."""
    text = shlex.quote(f"x.c:1:2: error: {HOSTILE}")
    place.program("aarch64-linux-gnu-gcc", f"printf '%s\\n' {text} >&2; exit 1")


def written(form: str) -> Inject:
    return both(emulated(complaining), arguments(f"--{form}", "-"))


FAULTS = (
    Fault("escapes in a kernel's warning", emulated(complaining), Blame.KERNEL,
          f"WARNING: at {SEEN}", kept=2),
    Fault("escapes in a warning, as KTAP", written("ktap"), Blame.KERNEL,
          f"# stack-9: WARNING: .*{SEEN}"),
    Fault("escapes in a warning, as JSON", written("json"), Blame.KERNEL,
          r"WARNING: at \\\\x1b\]52;c;ZXZpbA==\\\\x07"),
    Fault("escapes in a warning, as JUnit XML", written("junit"), Blame.KERNEL,
          f"WARNING: at {SEEN}", full=True),
    Fault("escapes in a record", replayed(refusing), Blame.KERNEL,
          r"text=b'\\x1b\]52;c;ZXZpbA==\\x07", kept=2),
    Fault("escapes in a release", replayed(another_release), Blame.KERNEL,
          r"release=b'\\x1b\[2J\\x07", status=125, full=True),
    Fault("escapes in QEMU's own words", emulated(failing, EACH_BOOT), Blame.MACHINE, SEEN),
    Fault("escapes in a compiler's words", compiler, Blame.MACHINE, SEEN, full=True),
    Fault("escapes in a case", case("odd", 'arguments: [long]\ncontext: "\\e]52;c;ZXZpbA==\\a"'),
          Blame.USER, f"'{SEEN}'"),
    Fault("escapes in a file's name", both(tree, patch), Blame.USER, f"{SEEN}.*is not a patch"),
    Fault("escapes in a kernel's name", command("repro", "--kernel", HOSTILE), Blame.USER,
          f"no kernel '{SEEN}", full=True),
    Fault("escapes in a matrix",
          both(file("night.yaml", 'shows: x\nkernels: ["debian:6.1"]\ncases: ["\\e[2J"]\n'),
               command("nightly", "night.yaml")),
          Blame.USER, r"no case '\\x1b\[2J'"),
    Fault("escapes in an option's name", command("repro", f"--{HOSTILE}"), Blame.USER,
          r"no option '--\\x1b\]52;c;ZXZpbA"),
)  # fmt: skip
