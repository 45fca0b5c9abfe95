# SPDX-License-Identifier: GPL-2.0-only
"""What the guest sends."""

from __future__ import annotations

from tests.faults.fault import Blame, Fault, Inject
from tests.faults.inject import arguments, both
from tests.faults.replay import (
    POWERED_OFF,
    broken_off,
    changed,
    ends,
    flood,
    qmp,
    replayed,
    send,
    wait,
)

WARNING = b"WARNING: CPU: 0 PID: 1 at kernel/events/core.c:1 f+0x8/0x10\n---[ end trace 0 ]---\n"
PANIC = b"Kernel panic - not syncing: asked for\n---[ end Kernel panic - not syncing ]---\n"
# A flood ends at the deadline.
SOON = arguments("--deadline", "1")
UNJUDGED = 125


def _unsound(name: str, inject: Inject, says: str, *, kept: int = 2, full: bool = False) -> Fault:
    """Return a fault for which the kernel is blamed, and `kept` of three plays are judged."""
    return Fault(name, inject, Blame.KERNEL, says, kept=kept, full=full)


def _damaged(name: str, old: bytes, new: bytes, says: str, *, full: bool = False) -> Fault:
    """Return a fault: the second of three records is none that the module can have written."""
    return _unsound(name, replayed(changed(2, old, new)), says, full=full)


FAULTS = (
    Fault("a guest that says what one said before", replayed()),
    _unsound(
        "a record whose checksum is wrong",
        replayed(changed(2, b"saved=64", b"saved=65", seal=lambda record: record)),
        "Record 2 of the guest's has a wrong checksum",
    ),
    _damaged("a number of 5,000 digits", b"hits=1", b"hits=" + b"1" * 5000, "hits='1111"),
    _damaged("an address of 17 digits", rb"sp=\w+", b"sp=" + b"f" * 17, "sp='ffff", full=True),
    _damaged(
        "a stack that cannot be", rb"top=\w+", b"top=fffffffffffffff0", "cannot be", full=True
    ),
    _damaged("a field twice", b"hits=1", b"hits=1 hits=1", "'hits' twice", full=True),
    _damaged("a field too few", b"target=1 ", b"", "in place of 'target'", full=True),
    _damaged("bytes of one place in two sizes", rb"(area before=)..", rb"\1", "in two sizes"),
    _damaged("a record of 200 KB", b"area before=", b"area before=" + b"0" * 200_000, "131072"),
    _damaged("another number than is due", b"seq=2", b"seq=7", "record 2 did not come"),
    _unsound(
        "an answer to another line of the plan",
        replayed(changed(2, b"fixed 64", b"fixed 72")),
        "The guest played 'stack-9 fixed 72'",
    ),
    _unsound(
        "bytes of an argument in another size",
        replayed(changed(2, rb"(arg index=0 .*seen=)..", rb"\1")),
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
        both(SOON, broken_off(flood("records", b"guest release=6 cases=1\n"))),
        "of the guest's",
    ),
    _unsound(
        "a line without end",
        both(SOON, broken_off(flood("records", b"play seq=2 line=" + b"0" * 5000))),
        "longer than 131072 bytes",
        full=True,
    ),
    _unsound(
        "a record without end",
        both(
            SOON,
            broken_off(
                send("records", b"play seq=2 line=x\n"),
                flood("records", b"taint before=0 after=0\n"),
            ),
        ),
        "is over 128 KiB",
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
