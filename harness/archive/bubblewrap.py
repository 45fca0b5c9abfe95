# SPDX-License-Identifier: GPL-2.0-only
"""Starts bubblewrap, which shows a program other folders than the machine has."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.errors import InfrastructureError
from harness.host import tool

_MOUNTS = Path("/proc/self/mountinfo")
# proc(5): which field of a line says where it is mounted.
_PLACE = 4
# In a chroot the root directory is no mount, which bubblewrap needs to leave the machine's
# mounts alone.  Root can have it shown at another place, in a namespace of its own.
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
    """The command that gives bubblewrap these words; raises InfrastructureError."""
    if shutil.which("bwrap") is None:
        raise InfrastructureError("bwrap is not installed.", tool.DOCTOR)
    if _root_is_a_mount():
        return ["bwrap", *words]
    namespace = ("unshare", "--mount", "--propagation", "unchanged")
    return [*namespace, "sh", "-c", _IN_CHROOT, "sh", *words]
