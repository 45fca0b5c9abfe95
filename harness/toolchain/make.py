# SPDX-License-Identifier: GPL-2.0-only
"""Variables that a user wants make to have, for a kernel and for modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from harness.errors import ConfigError

# What a user's flags are added to, rather than put in the place of.
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
    """What --make was given; raises ConfigError for what is no variable, or not the user's."""
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
    """The compiler's flags among variables."""
    variables = (text.partition("=") for text in given)
    return [flag for name, _, value in variables if name in FLAGS for flag in value.split()]


def words(ours: Mapping[str, str], given: Sequence[str]) -> list[str]:
    """For make's command line: our variables, and those given to it."""
    merged = dict(ours)
    for text in given:
        name, _, value = text.partition("=")
        before = merged.get(name, "") if name in FLAGS else ""
        merged[name] = f"{before} {value}".strip()
    return [f"{name}={value}" for name, value in merged.items()]
