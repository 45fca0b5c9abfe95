# SPDX-License-Identifier: GPL-2.0-only
"""Kconfig fragments: the options that were asked for, and those that Kconfig set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import ConfigError, UnfitTree
from harness.host import given

# A whole .config has a quarter of a MiB.
SIZE_MAX = 4 * given.MIB
_LINE = re.compile(r"(CONFIG_\w+)=(.*)$|# (CONFIG_\w+) is not set$")


def parse(text: str) -> dict[str, str]:
    """Return the value of each option by its name; "n" for one that is not set."""
    options = {}
    for line in text.splitlines():
        if match := _LINE.match(line.strip()):
            options[match[1] or match[3]] = match[2] if match[1] else "n"
    return options


def read(path: Path) -> dict[str, str]:
    """Return the options of a fragment; raise ConfigError for a fragment without any."""
    try:
        options = parse(given.read_once(str(path), SIZE_MAX).decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: {error}.") from error
    if not options:
        raise ConfigError(
            f"{path}: no option is set in it.", "Give lines such as CONFIG_PREEMPT=y."
        )
    return options


def check_file(path: Path) -> None:
    """Raise ConfigError for a file that make would block on, or that is too large."""
    given.check(path, SIZE_MAX)


def merged(fragments: Sequence[Mapping[str, str]]) -> str:
    """Return one fragment's text, in which later fragments replace options of earlier ones."""
    options: dict[str, str] = {}
    for fragment in fragments:
        options.update(fragment)
    return "".join(
        f"# {name} is not set\n" if value == "n" else f"{name}={value}\n"
        for name, value in options.items()
    )


def check(wanted: Mapping[str, str], config: Path) -> None:
    """Raise UnfitTree where an option of a .config is not as it was asked for."""
    got = parse(config.read_text())
    dropped = [f"{name}={value}" for name, value in wanted.items() if got.get(name, "n") != value]
    if dropped:
        raise UnfitTree(
            f"This kernel's Kconfig dropped {', '.join(dropped)}.",
            "It may lack the option, or what the option depends on: set that too, in a --kconfig.",
        )
