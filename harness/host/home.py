# SPDX-License-Identifier: GPL-2.0-only
"""The user's folders for our files, by the XDG base directory specification."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import ConfigError

_NAME = "jprobe-harness"


def cache() -> Path:
    """Return the folder for files that can be made again; raise ConfigError."""
    return _absolute("XDG_CACHE_HOME", "~/.cache")


def state() -> Path:
    """Return the folder for logs and history; raise ConfigError."""
    return _absolute("XDG_STATE_HOME", "~/.local/state")


def config() -> Path:
    """Return the folder for settings; raise ConfigError."""
    return _absolute("XDG_CONFIG_HOME", "~/.config")


def _absolute(variable: str, usual: str) -> Path:
    """Return our folder in that of a variable, or the usual one; raise ConfigError."""
    # As the specification has it, a relative path counts as none.
    named = Path(os.environ.get(variable, "").strip())
    try:
        path = named if named.is_absolute() else Path(usual).expanduser()
    except RuntimeError:
        path = Path()
    if path.is_absolute():
        return path / _NAME
    raise ConfigError(
        f"The user {user()} has no home folder, so there is no place for files of ours.",
        "Set HOME, or XDG_CACHE_HOME, XDG_STATE_HOME and XDG_CONFIG_HOME, to absolute paths.",
    )


def check_names(arguments: Sequence[str]) -> None:
    """Raise ConfigError for a path that cannot be written to a log, JSON or a script."""
    texts = [(word, f"The argument {word!a}") for word in arguments]
    for variable in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        value = os.environ.get(variable, "")
        texts.append((value, f"{variable} is {value!a}, which"))
        if "\n" in value:
            raise ConfigError(f"{variable} contains a newline.", "Set it to a path without one.")
    for text, what in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"{what} is not in UTF-8.", "Give a name that is.") from error


def expanded(path: Path | str) -> Path:
    """Return a path with ~ and ~user expanded; raise ConfigError."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        # The original error has no more detail.
        raise ConfigError(f"{path}: there is no such user, or no home folder of theirs.") from error


def resolved(path: Path | str) -> Path:
    """Return a path expanded, absolute and without symbolic links; raise ConfigError."""
    return expanded(path).resolve()


def user() -> str:
    """Return the user's name, or in a container without one the UID in words."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"with UID {os.getuid()}"
