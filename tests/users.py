# SPDX-License-Identifier: GPL-2.0-only
"""Other users of this machine."""

from __future__ import annotations

import os
import shutil

NOBODY = 65534


def another() -> list[str]:
    """Return a command prefix that runs a command as another user."""
    if os.geteuid() == 0:
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    # An ordinary user has further UIDs (subuid(5)), which newuidmap maps.
    return [
        "unshare", "--user", "--map-auto", "--map-root-user",
        "setpriv", "--reuid=1", "--regid=1", "--clear-groups",
    ]  # fmt: skip


def python() -> str:
    """Return a Python interpreter that every user can run."""
    found = shutil.which("python3", path="/usr/bin:/bin")
    assert found, "install python3"
    return found
