# SPDX-License-Identifier: GPL-2.0-only
"""What the guest says."""

from __future__ import annotations

from tests.faults.fault import Blame, Fault
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
# Nobody who waits for a flood to end wants to wait long.
SOON = arguments("--deadline", "1")
UNJUDGED = 125


def _damaged(name: str, old: bytes, new: bytes, says: str, *, full: bool = False) -> Fault:
    """The second of three records is one that the module cannot have written."""
    return Fault(name, replayed(changed(2, old, new)), Blame.KERNEL, says, kept=2, full=full)


FAULTS = (
    Fault("a guest that says what one said before", replayed()),
    Fault(
        "a record whose checksum is wrong",
        replayed(changed(2, b"saved=64", b"saved=65", seal=lambda record: record)),
        Blame.KERNEL,
        "Record 2 of the guest's has another checksum",
        kept=2,
    ),
    _damaged("a number of 5,000 digits", b"hits=1", b"hits=" + b"1" * 5000, "hits='1111"),
    _damaged("an address of 17 digits", rb"sp=\w+", b"sp=" + b"f" * 17, "sp='ffff", full=True),
    _damaged("a stack that cannot be", rb"top=\w+", b"top=fffffffffffffff0", "cannot be"),
    _damaged("a field twice", b"hits=1", b"hits=1 hits=1", "'hits' twice"),
    _damaged("a field too few", b"target=1 ", b"", "in place of 'target'"),
    _damaged("bytes of one place in two sizes", rb"(area before=)..", rb"\1", "in two sizes"),
    _damaged("a record of 200 KB", b"area before=", b"area before=" + b"0" * 200_000, "131072"),
    _damaged("another number than is due", b"seq=2", b"seq=7", "record 2 did not come"),
    Fault(
        "an answer to another line of the plan",
        replayed(changed(2, b"fixed 64", b"fixed 72")),
        Blame.KERNEL,
        "The guest played 'stack-9 fixed 72'",
        kept=2,
    ),
    Fault(
        "bytes of an argument in another size",
        replayed(changed(2, rb"(arg index=0 .*seen=)..", rb"\1")),
        Blame.KERNEL,
        "argument 0 was not looked at",
        kept=2,
    ),
    Fault(
        "more records than were planned",
        replayed(lambda recording: recording.all + recording.records[0]),
        Blame.KERNEL,
        "more records than were planned",
        kept=3,
    ),
    Fault(
        "an introduction among the records",
        replayed(lambda r: r.introduction + r.records[0] + r.all),
        Blame.KERNEL,
        "an introduction, which it sent before",
        kept=2,
    ),
    Fault(
        "garbage before the first record",
        replayed(lambda recording: b"\0\xff\x1b[31m\n" + recording.all),
        Blame.KERNEL,
        "A record of the guest's is none",
        status=UNJUDGED, full=True),
    Fault("bytes that are no text on the console", replayed(console=b"\xff\0\n" * 99)),
    Fault(
        "a play's marker of 5,000 digits",
        replayed(console=b"jp#%s\n" % (b"9" * 5000)),
    ),
    Fault(
        "a complaint while a play runs",
        replayed(console=b"jp#1\njp#2\n" + WARNING + b"jp#3\n"),
        Blame.KERNEL,
        "WARNING: WARNING: CPU: 0",
        kept=2,
    ),
    Fault(
        "a complaint before the first play",
        replayed(console=WARNING),
        Blame.KERNEL,
        "WARNING: WARNING: CPU: 0",
        kept=3,
    ),
    Fault(
        "a complaint that belongs to no play",
        replayed(console=b"jp#9\n" + WARNING),
        Blame.KERNEL,
        "WARNING: WARNING: CPU: 0",
        kept=3,
    ),
    Fault(
        "a panic while a play runs",
        broken_off(ends(), console=b"jp#1\njp#2\n" + PANIC),
        Blame.KERNEL,
        "KernelDied: Kernel panic - not syncing: asked for",
        kept=2,
    ),
    Fault(
        "a guest that powers off too early",
        broken_off(POWERED_OFF, ends()),
        Blame.KERNEL,
        "ended after 1 of 3 records",
        kept=2,
    ),
    Fault(
        "a guest that is gone without a word",
        broken_off(ends()),
        Blame.KERNEL,
        "gone without a word",
        kept=2, full=True),
    Fault(
        "a guest that hangs",
        both(SOON, broken_off(qmp(), wait())),
        Blame.KERNEL,
        "KernelHung: The guest hangs after record 1",
        kept=2,
        full=True,
    ),
    Fault(
        "introductions without end",
        both(SOON, broken_off(flood("records", b"guest release=6 cases=1\n"))),
        Blame.KERNEL,
        "of the guest's",
        kept=2,
    ),
    Fault(
        "a line without end",
        both(SOON, broken_off(flood("records", b"play seq=2 line=" + b"0" * 5000))),
        Blame.KERNEL,
        "longer than 131072 bytes",
        kept=2, full=True),
    Fault(
        "a record without end",
        both(SOON, broken_off(send("records", b"play seq=2 line=x\n"),
                              flood("records", b"taint before=0 after=0\n"))),
        Blame.KERNEL,
        "is over 128 KiB",
        kept=2,
    ),
    Fault(
        "a console that is flooded",
        both(SOON, broken_off(qmp(), flood("console", b"noise\n" * 1000))),
        Blame.KERNEL,
        "KernelHung: The guest hangs after record 1",
        kept=2,
        full=True,
    ),
    Fault(
        "complaints without end",
        both(SOON, broken_off(qmp(), flood("console", WARNING * 100))),
        Blame.KERNEL,
        "KernelHung: The guest hangs after record 1",
        kept=2,
        full=True,
    ),
)  # fmt: skip
