# SPDX-License-Identifier: GPL-2.0-only
"""Mounts in place of a folder, which only one command sees."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_SMALL = 'mount -t tmpfs -o size="$1" none "$2"'
_READ_ONLY = 'mount --bind "$2" "$2" && mount -o remount,bind,ro "$2"'
_RUN = '|| exit; folder=$2; shift 2; "$@"; status=$?; umount --lazy "$folder"; exit $status'


def under_a_small_disk(folder: Path, size: str) -> list[str]:
    """
    Return a command that runs the command behind it with a disk of that size at `folder`.

    Its exit status is that of the command behind it.
    """
    return _mounted(_SMALL, size, folder)


def read_only(folder: Path) -> list[str]:
    """Return a command that runs the command behind it with `folder` mounted read-only."""
    return _mounted(_READ_ONLY, "", folder)


def _mounted(mount: str, size: str, folder: Path) -> list[str]:
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        # This also works in a chroot, whose root directory is no mount point.
        namespace += ["--propagation", "unchanged"]
    return [*namespace, "sh", "-c", f"{mount} {_RUN}", "sh", size, str(folder)]
