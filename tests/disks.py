# SPDX-License-Identifier: GPL-2.0-only
"""A small disk in the place of a folder, which only one command sees."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_SCRIPT = (
    'mount -t tmpfs -o size="$1" none "$2" || exit; folder=$2; shift 2;'
    ' "$@"; status=$?; umount --lazy "$folder"; exit $status'
)


def under_a_small_disk(folder: Path, size: str) -> list[str]:
    """
    A command that runs the command behind it with a disk of that size in `folder`.

    Its status is that of the command.
    """
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        # In a chroot, whose root directory is no mount.
        namespace += ["--propagation", "unchanged"]
    return [*namespace, "sh", "-c", _SCRIPT, "sh", size, str(folder)]
