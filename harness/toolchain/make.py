# SPDX-License-Identifier: GPL-2.0-only
"""Variables that a user passes to make, for builds of kernels and of modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from harness.errors import ConfigError

# Variables to which a user's flags are added; any other variable is replaced.
FLAGS = ("KCFLAGS", "KAFLAGS")
_CHOSEN = {
    **dict.fromkeys(("CC", "LLVM", "LLVM_IAS"), "Choose a compiler with --cc."),
    **dict.fromkeys(
        ("ARCH", "SRCARCH", "SUBARCH", "CROSS_COMPILE", "HOSTCC", "MAKEFLAGS", "JPROBE_ENGINE"),
        "It builds for arm64, with this machine's gcc for what runs here.",
    ),
    **dict.fromkeys(
        ("M", "O", "KBUILD_OUTPUT", "KBUILD_EXTMOD", "KBUILD_EXTMOD_OUTPUT", "MO"),
        "It builds in folders of its own.",
    ),
}
_CONFIGURED = "Set options of the kernel with --kconfig FILE."


def checked(given: Iterable[str]) -> tuple[str, ...]:
    """
    Return the variables that --make was given, as NAME=VALUE.

    Raises ConfigError for a text that is no assignment, and for a variable that the harness
    sets itself.
    """
    texts = tuple(given)
    for text in texts:
        name, _, value = text.partition("=")
        if not re.fullmatch(r"[A-Za-z_][\w.-]*=.*", text, re.ASCII):
            raise ConfigError(f"--make: '{text}' sets nothing.", "Give NAME=VALUE, such as V=1.")
        configures = name.startswith(("CONFIG_", "KCONFIG_"))
        if configures or name in _CHOSEN:
            raise ConfigError(
                f"--make: {name} is set by jprobe-harness itself, not to '{value}'.",
                _CONFIGURED if configures else _CHOSEN[name],
            )
    return texts


def flags(given: Sequence[str]) -> list[str]:
    """Return the compiler flags in the values of variables."""
    variables = (text.partition("=") for text in given)
    return [flag for name, _, value in variables if name in FLAGS for flag in value.split()]


def words(ours: Mapping[str, str], given: Sequence[str]) -> list[str]:
    """Return the words of make's command line: `ours`, changed by the variables in `given`."""
    merged = dict(ours)
    for text in given:
        name, _, value = text.partition("=")
        before = merged.get(name, "") if name in FLAGS else ""
        merged[name] = f"{before} {value}".strip()
    return [f"{name}={value}" for name, value in merged.items()]
