# SPDX-License-Identifier: GPL-2.0-only
"""Kconfig fragments: what was asked for, and what a kernel's Kconfig made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import ConfigError, UnfitTree
from harness.host import given

# A whole .config has a quarter of one.
SIZE_MAX = 4 * given.MIB
_LINE = re.compile(r"(CONFIG_\w+)=(.*)$|# (CONFIG_\w+) is not set$")


def parse(text: str) -> dict[str, str]:
    """Option by name; "n" for one that is not set."""
    options = {}
    for line in text.splitlines():
        if match := _LINE.match(line.strip()):
            options[match[1] or match[3]] = match[2] if match[1] else "n"
    return options


def read(path: Path) -> dict[str, str]:
    """A fragment; raises ConfigError for one that asks for nothing."""
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
    """Raise ConfigError for what make would wait for, or nobody configured a kernel with."""
    given.check(path, SIZE_MAX)


def merged(fragments: Sequence[Mapping[str, str]]) -> str:
    """One file in which a later fragment's options replace an earlier one's."""
    options: dict[str, str] = {}
    for fragment in fragments:
        options.update(fragment)
    return "".join(
        f"# {name} is not set\n" if value == "n" else f"{name}={value}\n"
        for name, value in options.items()
    )


def check(wanted: Mapping[str, str], config: Path) -> None:
    """Raise UnfitTree where an option that was asked for is not what it became."""
    got = parse(config.read_text())
    dropped = [f"{name}={value}" for name, value in wanted.items() if got.get(name, "n") != value]
    if dropped:
        raise UnfitTree(
            f"This kernel's Kconfig dropped {', '.join(dropped)}.",
            "It may lack the option, or what the option depends on: set that too, in a --kconfig.",
        )
