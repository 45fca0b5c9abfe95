# SPDX-License-Identifier: GPL-2.0-only
"""Starts bubblewrap, which runs a program with a file system of other folders."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.errors import InfrastructureError
from harness.host import tool

_MOUNTS = Path("/proc/self/mountinfo")
# The field of a line that has the mount point (proc(5)).
_PLACE = 4
# Bubblewrap needs the root directory to be a mount, so that it can leave the machine's mounts
# alone.  In a chroot it is none; there, root can bind it elsewhere in a mount namespace.
_IN_CHROOT = """
mount --rbind / /mnt || exit
chroot /mnt bwrap "$@"
status=$?
umount --lazy /mnt
exit $status
"""


def _root_is_a_mount() -> bool:
    return any(line.split()[_PLACE] == "/" for line in _MOUNTS.read_text().splitlines())


def command(words: Sequence[str | Path]) -> list[str | Path]:
    """Return the command that runs bubblewrap with `words`; raise InfrastructureError."""
    if shutil.which("bwrap") is None:
        raise InfrastructureError("bwrap is not installed.", tool.DOCTOR)
    if _root_is_a_mount():
        return ["bwrap", *words]
    namespace = ("unshare", "--mount", "--propagation", "unchanged")
    return [*namespace, "sh", "-c", _IN_CHROOT, "sh", *words]
