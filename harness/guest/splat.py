# SPDX-License-Identifier: GPL-2.0-only
"""
Tells from the console what went wrong inside the kernel, and during which play.

A pure classifier of lines; it knows nothing of QEMU.  The wording is that of
the kernel's panic.c, traps.c, fault.c, lockdep.c, watchdog.c, hung_task.c and
of RCU's stall detector.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.printable import shown


class SplatKind(enum.Enum):
    """Conditions of a kernel."""

    PANIC = "panic"
    OOPS = "oops"
    BUG = "BUG"
    # A report that begins with BUG and after which the kernel goes on.
    REPORT = "BUG report"
    WARNING = "WARNING"
    LOCKDEP = "lockdep"
    SOFT_LOCKUP = "soft lockup"
    HUNG_TASK = "hung task"
    RCU_STALL = "RCU stall"

    @property
    def fatal(self) -> bool:
        """The kernel does not go on; with oops=panic an oops is fatal too."""
        return self in (SplatKind.PANIC, SplatKind.OOPS, SplatKind.BUG)


@dataclass
class Splat:
    """One complaint of the kernel's."""

    kind: SplatKind
    # The line that says what it is.
    title: str
    # The plan's line that was being played, 0 before the first.
    seq: int
    # The complaint with its call trace, without time stamps.
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.title


# First match wins, so the special comes before the general.
_PATTERNS = (
    (SplatKind.PANIC, r"Kernel panic - not syncing: .*"),
    (SplatKind.SOFT_LOCKUP, r"(?:watchdog: )?BUG: soft lockup - .*"),
    (
        SplatKind.LOCKDEP,
        r"WARNING: (?:possible |inconsistent lock|bad unlock|suspicious RCU|held lock|"
        r"lock held|nested lock|Nested lock|\S+-safe ->|chain_key|DEBUG_LOCKS).*",
    ),
    (
        SplatKind.LOCKDEP,
        r"INFO: (?:possible |inconsistent lock|suspicious RCU|trying to register).*",
    ),
    (SplatKind.LOCKDEP, r"BUG: (?:MAX_LOCK|held lock|invalid lock).*"),
    (SplatKind.HUNG_TASK, r"INFO: task .+ blocked (?:for|in) .*"),
    (
        SplatKind.RCU_STALL,
        r"(?:rcu: )?(?:INFO: )?rcu\S* (?:self-detected stall|detected .*stalls).*",
    ),
    (SplatKind.OOPS, r"Unable to handle kernel .*"),
    (SplatKind.OOPS, r"Internal error: (?!Oops - BUG).*"),
    (SplatKind.BUG, r"kernel BUG at .*"),
    (SplatKind.BUG, r"Internal error: Oops - BUG.*"),
    (SplatKind.OOPS, r"Insufficient stack space to handle exception.*"),
    (SplatKind.REPORT, r"BUG:? .*"),
    (SplatKind.REPORT, r"UBSAN: .*"),
    (SplatKind.REPORT, r"list_(?:add|del) corruption.*"),
    (SplatKind.SOFT_LOCKUP, r"(?:watchdog: )?Watchdog detected hard LOCKUP.*"),
    (SplatKind.WARNING, r"WARNING: .*"),
)
_COMPILED = [(kind, re.compile(pattern)) for kind, pattern in _PATTERNS]
# Nearly every line is none of them.
_ANY = re.compile(r"BUG|WARNING|INFO: |Kernel panic|Internal error|Unable to handle|rcu: |"
                  r"Insufficient stack|corruption|UBSAN|LOCKUP")  # fmt: skip
_TIME = re.compile(r"^\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])? ?")
_PLAY = re.compile(r"jp#(\d{1,9})$")
_END = re.compile(r"---\[ end |reboot: ")
# In whatever way it says so, the kernel or a program, it has too little memory.
_STARVED = re.compile(
    r"System is deadlocked on memory|Out of memory|page allocation failure|"
    r"Initramfs unpacking failed: write error|Cannot allocate memory"
)
_POWERED_OFF = "reboot: Power down"
LINES_MAX = 120
# What printk writes is shorter (LOG_LINE_MAX); of a longer line, so much is looked at.
LINE_MAX = 4096
# A kernel that complains without end says nothing new after these.
SPLATS_MAX = 200


class Watcher:
    """Finds splats in a console log, line by line as it grows."""

    def __init__(self) -> None:
        self.splats: list[Splat] = []
        # The plan's line that is being played, by the marker in the log.
        self.seq = 0
        # The kernel has said that it powers the machine off.
        self.powered_off = False
        # The guest ran out of memory.
        self.starved = False
        self._open: Splat | None = None
        self._rest = ""

    @property
    def dead(self) -> Splat | None:
        """The first fatal splat."""
        return next((splat for splat in self.splats if splat.kind.fatal), None)

    def feed(self, text: str) -> list[Splat]:
        """Splats that begin in `text`."""
        *lines, rest = (self._rest + text).split("\n")
        self._rest = rest[:LINE_MAX]
        before = len(self.splats)
        for line in lines:
            self._line(shown(_TIME.sub("", line[:LINE_MAX].rstrip("\r"))))
        return self.splats[before:]

    def _line(self, line: str) -> None:
        if line == _POWERED_OFF:
            self.powered_off = True
        self.starved = self.starved or bool(_STARVED.search(line))
        if match := _PLAY.match(line):
            self.seq = int(match[1])
            self._open = None
            return
        kind = _classify(line) if _ANY.search(line) else None
        if kind and not self._continues(kind):
            self._open = Splat(kind, line, self.seq, [line])
            if len(self.splats) < SPLATS_MAX or (kind.fatal and not self.dead):
                self.splats.append(self._open)
        elif self._open:
            self._open.lines.append(line)
            if len(self._open.lines) >= LINES_MAX:
                self._open = None
        if self._open and _END.search(line):
            self._open = None

    def _continues(self, kind: SplatKind) -> bool:
        """An oops says what it is in more than one line."""
        if self._open is None:
            return False
        return kind is self._open.kind or (
            kind in (SplatKind.OOPS, SplatKind.BUG) and self._open.kind.fatal
        )


def _classify(line: str) -> SplatKind | None:
    for kind, pattern in _COMPILED:
        if pattern.match(line):
            return kind
    return None


def scan(lines: Iterable[str]) -> list[Splat]:
    """All splats of a whole log."""
    watcher = Watcher()
    for line in lines:
        watcher.feed(line.rstrip("\n") + "\n")
    return watcher.splats


def complaints(splats: Iterable[Splat]) -> tuple[str, ...]:
    """Each in a sentence, after its kind."""
    return tuple(f"{splat.kind.value}: {splat}" for splat in splats)


# Frames of a call trace that tell one complaint from another.
FRAMES = 3
_FRAME = re.compile(r"^ ([A-Za-z_][\w.]*)\+0x")
# They are in every trace.
_REPORTERS = ("dump_backtrace", "show_stack", "dump_stack_lvl", "dump_stack", "panic")
_VARYING = re.compile(r"\b(?:0x)?[0-9a-f]{8,}\b|\b0x[0-9a-f]+\b|\d+")


def fingerprint(splat: Splat) -> str:
    """
    The same for the same complaint in another boot or build.

    Its kind, its title without numbers, and the functions nearest to it.
    """
    found = (match[1] for line in splat.lines if (match := _FRAME.match(line)))
    frames = [name for name in found if name not in _REPORTERS]
    parts = (splat.kind.value, _VARYING.sub("N", splat.title), *frames[:FRAMES])
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
