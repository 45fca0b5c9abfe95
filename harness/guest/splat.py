# SPDX-License-Identifier: GPL-2.0-only
"""
Finds in the console's log what went wrong inside the kernel, and during which play.

This classifies lines, without I/O.  The wording is that of the kernel's panic.c,
traps.c, fault.c, lockdep.c, watchdog.c, hung_task.c and of RCU's stall detector.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.printable import shown


class SplatKind(enum.Enum):
    """The kinds of complaints of a kernel."""

    PANIC = "panic"
    OOPS = "oops"
    BUG = "BUG"
    # A report that begins with BUG but after which the kernel continues.
    REPORT = "BUG report"
    WARNING = "WARNING"
    LOCKDEP = "lockdep"
    SOFT_LOCKUP = "soft lockup"
    HUNG_TASK = "hung task"
    RCU_STALL = "RCU stall"

    @property
    def fatal(self) -> bool:
        """Whether the kernel stops after it; guests have oops=panic, so an oops is fatal, too."""
        return self in (SplatKind.PANIC, SplatKind.OOPS, SplatKind.BUG)


@dataclass
class Splat:
    """One complaint of the kernel."""

    kind: SplatKind
    # Its first line, which names the problem.
    title: str
    # The number of the plan's line that was being played, 0 before the first; None where the
    # guest has not said so.
    seq: int | None = None
    # The complaint with its call trace, without time stamps.
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.title


# The first match wins, so specific patterns precede general ones.
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
# A quick test, since hardly any line is a complaint.
_ANY = re.compile(r"BUG|WARNING|INFO: |Kernel panic|Internal error|Unable to handle|rcu: |"
                  r"Insufficient stack|corruption|UBSAN|LOCKUP")  # fmt: skip
_TIME = re.compile(r"^\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])? ?")
_PLAY = re.compile(r"jp#(\d{1,9})$")
_END = re.compile(r"---\[ end |reboot: ")
# How the kernel, or a program, reports that there is too little memory.
_STARVED = re.compile(
    r"System is deadlocked on memory|Out of memory|page allocation failure|"
    r"Initramfs unpacking failed: write error|Cannot allocate memory"
)
_POWERED_OFF = "reboot: Power down"
LINES_MAX = 120
# printk's lines are shorter (LOG_LINE_MAX); the rest of a longer line is ignored.
LINE_MAX = 4096
# A kernel that complains without end has nothing new to report after these.
SPLATS_MAX = 200


class Watcher:
    """Finds splats in a console log, line by line as it grows."""

    def __init__(self) -> None:
        self.splats: list[Splat] = []
        # Up to this one, the guest has said during which play they came.
        self._pinned = 0
        # Whether the kernel has reported that it powers the machine off.
        self.powered_off = False
        # Whether the guest ran out of memory.
        self.starved = False
        # Whether an oops is not the end, as the guest has been told.
        self.survives = False
        self._open: Splat | None = None
        self._rest = ""

    @property
    def dead(self) -> Splat | None:
        """The first fatal splat, or None."""
        fatal = (splat for splat in self.splats if splat.kind.fatal)
        return next((s for s in fatal if not (self.survives and s.kind is SplatKind.OOPS)), None)

    def feed(self, text: str) -> list[Splat]:
        """Take more of the log, and return the splats that begin in it."""
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
            for splat in self.splats[self._pinned :]:
                splat.seq = int(match[1])
            self._pinned = len(self.splats)
            self._open = None
            return
        kind = _classify(line) if _ANY.search(line) else None
        if kind and not self._continues(kind):
            self._open = Splat(kind, line, lines=[line])
            if len(self.splats) < SPLATS_MAX or (kind.fatal and not self.dead):
                self.splats.append(self._open)
        elif self._open:
            self._open.lines.append(line)
            if len(self._open.lines) >= LINES_MAX:
                self._open = None
        if self._open and _END.search(line):
            self._open = None

    def _continues(self, kind: SplatKind) -> bool:
        """Return whether a line continues the open splat, as an oops has several such lines."""
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
    """Return all splats of a whole log."""
    watcher = Watcher()
    for line in lines:
        watcher.feed(line.rstrip("\n") + "\n")
    return watcher.splats


def complaints(splats: Iterable[Splat]) -> tuple[str, ...]:
    """Return each splat as a sentence that begins with its kind."""
    return tuple(f"{splat.kind.value}: {splat}" for splat in splats)


# How many frames of a call trace a fingerprint has.
FRAMES = 3
_FRAME = re.compile(r"^ ([A-Za-z_][\w.]*)\+0x")
# Functions that are in every trace, since they print it.
_REPORTERS = ("dump_backtrace", "show_stack", "dump_stack_lvl", "dump_stack", "panic")
_VARYING = re.compile(r"\b(?:0x)?[0-9a-f]{8,}\b|\b0x[0-9a-f]+\b|\d+")


def without_numbers(text: str) -> str:
    """Return a text with N for each number and address, which differ from boot to boot."""
    return _VARYING.sub("N", text)


def fingerprint(splat: Splat) -> str:
    """
    Return a hash that is the same for the same complaint in another boot or build.

    It covers the kind, the title without numbers, and the innermost functions.
    """
    found = (match[1] for line in splat.lines if (match := _FRAME.match(line)))
    frames = [name for name in found if name not in _REPORTERS]
    parts = (splat.kind.value, without_numbers(splat.title), *frames[:FRAMES])
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
