# SPDX-License-Identifier: GPL-2.0-only
"""A command's processes, as proc(5) shows them: which of them is QEMU, and their memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.host import tool
from harness.vm.machine import QEMU

# Of a guest's QEMU, as against one that only prints its version.
_GUEST = b"-kernel"
_KIB = 1024


@dataclass(frozen=True)
class Memory:
    """The memory of one command at one moment, or the largest of each over time; in bytes."""

    # Of the command's process and all its descendants, a page of several being counted once.
    tree: int = 0
    # The largest resident set so far of the command's own process.
    own: int = 0
    # Of all QEMU, and the part of it that each further clone needs as well.
    qemu: int = 0
    private: int = 0

    def most(self, other: Memory) -> Memory:
        """Return the larger of each."""
        pairs = zip(vars(self).values(), vars(other).values())
        return Memory(*(max(pair) for pair in pairs))


def guests(pid: int) -> list[int]:
    """Return the PIDs of the QEMU processes that a process has started for guests."""
    return [child for child in tool.descendants(pid) if _is_guest(child)]


def _is_guest(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        # It has ended.
        return False
    return Path(words[0].decode(errors="replace")).name == QEMU and _GUEST in words


def memory(pid: int) -> Memory:
    """Return what a process and its descendants take; one that has ended takes nothing."""
    own = _fields(pid, "status").get("VmHWM", 0)
    tree = _fields(pid, "smaps_rollup").get("Pss", 0)
    qemu = private = 0
    for child in tool.descendants(pid):
        taken = _fields(child, "smaps_rollup")
        tree += taken.get("Pss", 0)
        if _is_guest(child):
            qemu += taken.get("Pss", 0)
            private += taken.get("Private_Dirty", 0)
    return Memory(tree, own, qemu, private)


def _fields(pid: int, file: str) -> dict[str, int]:
    """Return the sizes in a file of /proc/PID, in bytes, by name; none once it has ended."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text(errors="replace")
    except OSError:
        return {}
    words = (line.split() for line in text.splitlines())
    return {
        word[0].removesuffix(":"): int(word[1]) * _KIB
        for word in words
        if len(word) == 3 and word[2] == "kB"
    }
