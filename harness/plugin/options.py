# SPDX-License-Identifier: GPL-2.0-only
"""The plugin's options: each under a long name, and under a short one that nobody else has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

# The parent node of all verdict items: their IDs begin with it.
PARENT = "jprobe"

# Each is --jprobe-NAME, and --NAME too unless another plugin or a conftest.py has that option.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "kernel": {"action": "append", "default": [], "metavar": "SPEC",
               "help": "play on this kernel; repeatable"},
    "variant": {"action": "append", "default": [], "metavar": "NAME",
                "help": "a stack policy, or a pattern of names; repeatable"},
    "tracer": {"action": "append", "default": [], "metavar": "NAME",
               "help": "a tracer of today's, a pattern of names, or all; repeatable"},
    "case": {"action": "append", "default": [], "metavar": "NAME",
             "help": "a case, or a pattern of names; repeatable"},
    "case-dir": {"action": "append", "default": [], "type": Path, "metavar": "DIR",
                 "help": "further cases, variants and kernels; repeatable"},
    "cc": {"default": "gcc", "metavar": "COMPILER",
           "help": "the compiler of the test modules, and of a source tree"},
    "modules-build": {"type": Path, "metavar": "DIR",
                      "help": "the tree to build modules for a kernel image against"},
    "kconfig": {"action": "append", "default": [], "type": Path, "metavar": "FILE",
                "help": "a Kconfig fragment for a source tree; repeatable"},
    "defconfig": {"default": "", "metavar": "NAME",
                  "help": "the defconfig that a source tree's configuration starts from"},
    "memory": {"type": int, "metavar": "MIB", "help": "the guest's memory"},
    "boot-deadline": {"type": float, "metavar": "SECONDS",
                      "help": "how long the guest may take to boot"},
    "cold": {"action": "store_true", "default": False,
             "help": "boot each guest, and use no snapshot of one"},
    "make": {"action": "append", "default": [], "metavar": "VAR=VALUE",
             "help": "a variable for make; repeatable"},
}  # fmt: skip


def destination(name: str) -> str:
    """The attribute of pytest's options that has the value."""
    return f"jprobe_{name.replace('-', '_')}"


def _group(parser: pytest.Parser) -> pytest.OptionGroup:
    return parser.getgroup("jprobe-harness", "stack policies of jprobes")


def add_long(parser: pytest.Parser) -> None:
    """Add all options as --jprobe-NAME."""
    for name, attributes in OPTIONS.items():
        named = {**attributes, "help": f"or --{name}: {attributes['help']}"}
        _group(parser).addoption(f"--jprobe-{name}", dest=destination(name), **named)


def typed(arguments: Sequence[str]) -> list[str]:
    """Return the names of ours that are on the command line in their short form."""
    return [name for name in OPTIONS if _is_typed(name, arguments)]


def _is_typed(name: str, arguments: Sequence[str]) -> bool:
    return any(word.partition("=")[0] == f"--{name}" for word in arguments)


def forget_values(names: Sequence[str], config: pytest.Config, arguments: Sequence[str]) -> None:
    """Keep values of short options, which nobody has added yet, from counting as paths."""
    words = {f"--{name}" for name in names}
    values = {
        value for word, value in pairwise(arguments) if word in words and not Path(value).exists()
    }
    known = config.known_args_namespace
    known.file_or_dir = [path for path in known.file_or_dir if path not in values]


def add_short(names: Sequence[str], parser: pytest.Parser, arguments: Sequence[str]) -> list[str]:
    """Add those as --NAME that no plugin or conftest.py has; return the others."""
    _, unknown = parser.parse_known_and_unknown_args(list(arguments))
    foreign = []
    for name in names:
        if _is_typed(name, unknown):
            _group(parser).addoption(f"--{name}", dest=destination(name), **OPTIONS[name])
        else:
            foreign.append(name)
    return foreign


def is_given(config: pytest.Config) -> bool:
    """Whether any option has another value than without."""
    return any(
        config.getoption(destination(name)) != attributes.get("default")
        for name, attributes in OPTIONS.items()
    )


def is_id(argument: str) -> bool:
    """Whether it is the ID of an item, which pytest shows relative to where it was started."""
    path, separator, _ = argument.partition("::")
    return bool(separator) and Path(path).name == PARENT and not Path(path).is_file()
