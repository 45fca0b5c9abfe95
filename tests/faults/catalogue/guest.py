# SPDX-License-Identifier: GPL-2.0-only
"""What the guest sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.faults.fault import Blame, Fault, Inject
from tests.faults.inject import arguments, both
from tests.faults.replay import (
    POWERED_OFF,
    broken_off,
    ends,
    flood,
    qmp,
    replayed,
    send,
    wait,
    with_record,
)
from tests.records import Line, changed, framed, joined, rewritten, taken_apart

WARNING = b"WARNING: CPU: 0 PID: 1 at kernel/events/core.c:1 f+0x8/0x10\n---[ end trace 0 ]---\n"
PANIC = b"Kernel panic - not syncing: asked for\n---[ end Kernel panic - not syncing ]---\n"
INTRODUCTION = joined(
    [Line("guest", {"thread_size": 4096, "irq_stack_size": 4096, "cases": 1}, {"release": b"6"})]
)
# A flood ends at the deadline.
SOON = arguments("--deadline", "1")
UNJUDGED = 125


def _unsound(name: str, inject: Inject, says: str, *, kept: int = 2, full: bool = False) -> Fault:
    """Return a fault for which the kernel is blamed, and `kept` of three plays are judged."""
    return Fault(name, inject, Blame.KERNEL, says, kept=kept, full=full)


def _damaged(
    name: str, change: Callable[[bytes], bytes], says: str, *, full: bool = False
) -> Fault:
    """Return a fault: the second of three records is none that the module can have written."""
    return _unsound(name, replayed(with_record(2, change)), says, full=full)


def _cut_short(line: Line) -> list[Line]:
    """Return the line without the last byte of what the handler found."""
    return [replace(line, strings={**line.strings, "before": line.strings["before"][:-1]})]


FAULTS = (
    Fault("a guest that says what one said before", replayed()),
    _damaged(
        "a record whose checksum is wrong",
        lambda record: record.replace(b"fixed 64", b"fixed 65"),
        "a wrong checksum",
    ),
    _damaged(
        "a number that is too large", lambda r: changed(r, "save", saved=1 << 40), "saved=10995"
    ),
    _damaged(
        "a line that there is not",
        lambda r: framed(b"".join(line.packed for line in taken_apart(r)) + b"\xee"),
        "an unknown line 238",
        full=True,
    ),
    _damaged(
        "a stack that cannot be", lambda r: changed(r, "stack", top=-16), "cannot be", full=True
    ),
    _damaged(
        "a line twice",
        lambda r: rewritten(r, "count", lambda line: [line, line]),
        "2 lines 'count'",
        full=True,
    ),
    _damaged(
        "a line too few", lambda r: rewritten(r, "count", lambda line: []), "0 lines", full=True
    ),
    _damaged(
        "a string without its end",
        lambda r: framed(b"".join(line.packed for line in taken_apart(r))[:-20]),
        "an end in 'arg'",
        full=True,
    ),
    _damaged(
        "bytes of one place in two sizes", lambda r: rewritten(r, "area", _cut_short), "two sizes"
    ),
    _damaged(
        "a record of 200 KB", lambda r: changed(r, "area", before=bytes(200_000)), "cannot be"
    ),
    _damaged("another number than is due", lambda r: changed(r, "play", seq=7), "did not come"),
    _unsound(
        "an answer to another line of the plan",
        replayed(with_record(2, lambda r: changed(r, "play", line=b"stack-9 fixed 72"))),
        "The guest played 'stack-9 fixed 72'",
    ),
    _unsound(
        "bytes of an argument in another size",
        replayed(with_record(2, lambda r: changed(r, "arg", seen=b"1234567"))),
        "argument 0 was not recorded",
        full=True,
    ),
    _unsound(
        "more records than were planned",
        replayed(lambda recording: recording.all + recording.records[0]),
        "more records than were planned",
        kept=3,
    ),
    _unsound(
        "an introduction among the records",
        replayed(lambda r: r.introduction + r.records[0] + r.all),
        "an introduction, which it sent before",
        full=True,
    ),
    Fault(
        "garbage before the first record",
        replayed(lambda recording: b"\0\xff\x1b[31m\n" + recording.all),
        Blame.KERNEL,
        "A record of the guest's is none",
        status=UNJUDGED,
        full=True,
    ),
    Fault("bytes that are no text on the console", replayed(console=b"\xff\0\n" * 99)),
    Fault(
        "a play's marker of 5,000 digits",
        replayed(console=b"jp#%s\n" % (b"9" * 5000)),
    ),
    _unsound(
        "a complaint while a play runs",
        replayed(console=WARNING + b"jp#2\n"),
        "WARNING: WARNING: CPU: 0",
    ),
    _unsound(
        "a complaint before the first play",
        replayed(console=WARNING + b"jp#0\n"),
        "WARNING: WARNING: CPU: 0",
        kept=3,
        full=True,
    ),
    _unsound(
        "a complaint that belongs to no play",
        replayed(console=WARNING + b"jp#9\n"),
        "WARNING: WARNING: CPU: 0",
        kept=3,
    ),
    _unsound(
        "a panic while a play runs",
        broken_off(ends(), console=PANIC),
        "KernelDied: Kernel panic - not syncing: asked for",
    ),
    _unsound(
        "a guest that powers off too early",
        broken_off(POWERED_OFF, ends()),
        "ended after 1 of 3 records",
    ),
    _unsound(
        "a guest that is gone without a word",
        broken_off(ends()),
        "ended without powering off",
        full=True,
    ),
    _unsound(
        "a guest that hangs",
        both(SOON, broken_off(qmp(), wait())),
        "KernelHung: The guest hangs after record 1",
        full=True,
    ),
    _unsound(
        "introductions without end",
        both(SOON, broken_off(flood("records", INTRODUCTION))),
        "of the guest's",
    ),
    _unsound(
        "a line without end",
        both(SOON, broken_off(flood("records", b"0" * 5000))),
        "longer than 131072 bytes",
        full=True,
    ),
    _unsound(
        "a record that never comes to its end",
        both(SOON, broken_off(qmp(), send("records", INTRODUCTION[:-1]), wait())),
        "KernelHung: The guest hangs after record 1",
        full=True,
    ),
    _unsound(
        "a console that is flooded",
        both(SOON, broken_off(qmp(), flood("console", b"noise\n" * 1000))),
        "KernelHung: The guest hangs after record 1",
        full=True,
    ),
    _unsound(
        "complaints without end",
        both(SOON, broken_off(qmp(), flood("console", WARNING * 100))),
        "KernelHung: The guest hangs after record 1",
        full=True,
    ),
)
