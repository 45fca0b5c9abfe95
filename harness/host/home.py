# SPDX-License-Identifier: GPL-2.0-only
"""The user's own folders: where we keep what, by the XDG base directory specification."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs

from harness.errors import ConfigError

_NAME = "jprobe-harness"


def cache() -> Path:
    """For what can be made again; raises ConfigError, as all here do."""
    return _absolute(platformdirs.user_cache_path)


def state() -> Path:
    """For logs and history."""
    return _absolute(platformdirs.user_state_path)


def config() -> Path:
    """For settings."""
    return _absolute(platformdirs.user_config_path)


def _absolute(folder: Callable[[str], Path]) -> Path:
    """A path that means the same wherever a program of ours runs."""
    try:
        path = folder(_NAME)
    except RuntimeError:
        path = Path()
    if path.is_absolute():
        return path
    raise ConfigError(
        f"The user {user()} has no home folder, so there is no place for files of ours.",
        "Set HOME, or XDG_CACHE_HOME, XDG_STATE_HOME and XDG_CONFIG_HOME, to absolute paths.",
    )


def check_names(arguments: Sequence[str]) -> None:
    """Raise ConfigError for a path that no log, no JSON and no script could name."""
    said = [(word, f"The argument {word!a}") for word in arguments]
    for variable in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        value = os.environ.get(variable, "")
        said.append((value, f"{variable} is {value!a}, which"))
        if "\n" in value:
            raise ConfigError(f"{variable} has a line's end in it.", "Set it to one that has none.")
    for text, what in said:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"{what} is not in UTF-8.", "Give a name that is.") from error


def expanded(path: Path | str) -> Path:
    """A path as a shell would have it."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        # Which says no more than that.
        raise ConfigError(f"{path}: there is no such user, or no home folder of theirs.") from error


def resolved(path: Path | str) -> Path:
    """The same, absolute and without symbolic links."""
    return expanded(path).resolve()


def user() -> str:
    """The user's name; a container's may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"with UID {os.getuid()}"
