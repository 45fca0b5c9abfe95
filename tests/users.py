# SPDX-License-Identifier: GPL-2.0-only
"""Other users of this machine."""

from __future__ import annotations

import os
import shutil

NOBODY = 65534


def another() -> list[str]:
    """What runs a command as somebody else, for the kernel too."""
    if os.geteuid() == 0:
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    # Of an ordinary user's further UIDs (subuid(5)), which newuidmap gives.
    return [
        "unshare", "--user", "--map-auto", "--map-root-user",
        "setpriv", "--reuid=1", "--regid=1", "--clear-groups",
    ]  # fmt: skip


def python() -> str:
    """An interpreter that anybody can run."""
    found = shutil.which("python3", path="/usr/bin:/bin")
    assert found, "install python3"
    return found
