# SPDX-License-Identifier: GPL-2.0-only
"""The user's configuration: config.yaml in the XDG config directory."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.host import home


class Source(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An archive to use in place of those of the machine's apt configuration."""

    uri: str
    suites: list[str]
    keyring: str = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Archive(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The archives that Debian's packages come from."""

    # If empty, the Debian archives of the machine's own apt configuration.
    sources: list[Source] = []
    # Accept a Release file past its date, as a frozen snapshot has; its
    # signature is checked all the same.
    allow_expired: bool = False
    # Ask the archive for a newer kernel when the last answer is this old.
    refresh_hours: float = 24


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of config.yaml in the user's folder of settings."""

    archive: Archive = Archive()


def path() -> Path:
    return home.config() / "config.yaml"


def load() -> Settings:
    """Return the user's settings, or the defaults if there is no such file."""
    from harness.host import yamlfile

    return yamlfile.read(path(), Settings) if path().exists() else Settings()
