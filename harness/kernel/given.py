# SPDX-License-Identifier: GPL-2.0-only
"""Files that the user gives, each read once: it may be a pipe, as of `--patch <(git diff)`."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path

from harness import tool
from harness.errors import ConfigError

# What a mail is to be decoded from before it is a patch.
_ENCODED = re.compile(rb"^Content-Transfer-Encoding:\s*(base64|quoted-printable)", re.I | re.M)


@functools.cache
def read(name: str) -> bytes:
    """What a file has, or had when it was read first; raises ConfigError."""
    try:
        return Path(name).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}.") from error


@functools.cache
def patch(name: str) -> bytes:
    """A patch, as a diff or a mail; raises ConfigError for what no tree could take."""
    data = read(name)
    if _ENCODED.search(data):
        return data
    with tempfile.TemporaryDirectory(prefix="jprobe-") as folder:
        file = Path(folder, "patch")
        file.write_bytes(data)
        done = tool.run(
            ["git", "-C", folder, "apply", "--numstat", file],
            # Not a part of a repository that the folder may lie in.
            environment={"GIT_CEILING_DIRECTORIES": str(file.parent.parent)},
        )
    if done.returncode:
        detail = re.sub(r"^(error|fatal): ", "", done.stderr.strip().partition("\n")[0])
        detail = re.sub(r" \(allow with .*\)$", "", detail)
        # Of the patch, not of a file in a folder of ours.
        raise ConfigError(
            f"{name} is not a patch: {detail.replace(str(file), name)}.",
            "Give what git diff or git format-patch writes.",
        )
    return data
