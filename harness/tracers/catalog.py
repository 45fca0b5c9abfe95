# SPDX-License-Identifier: GPL-2.0-only
"""All tracers, from configs/tracers."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from harness import patterns, resources
from harness.errors import ConfigError, nearest
from harness.host import yamlfile
from harness.model.case import Case
from harness.tracers.rules import RULES
from harness.tracers.tracer import Kind, Release, Ruled, Tracer

# Stands for all of them.
ALL = "all"


class RuledFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a tracer does from a release on, such as "6.12"."""

    since: str
    # One of harness.tracers.rules.
    rule: str
    source: str


class TracerFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of configs/tracers/NAME.yaml."""

    shows: str
    kind: Kind
    rules: list[RuledFile]
    checked: list[str]
    options: dict[str, str] = {}
    needs: list[str] = []


def load(path: Path) -> Tracer:
    """Read the file of a tracer; raise ConfigError that names the file."""
    file = yamlfile.read(path, TracerFile)
    for one in file.rules:
        if one.rule not in RULES:
            raise ConfigError(
                f"{path}: there is no rule '{one.rule}'.{nearest(one.rule, RULES)}",
                "See harness/tracers/rules.py.",
            )
    if not (file.rules and file.checked):
        raise ConfigError(f"{path}: give at least one rule and one release.")
    rules = [Ruled(_release(path, one.since), RULES[one.rule], one.source) for one in file.rules]
    return Tracer(
        name=path.stem,
        shows=file.shows,
        kind=file.kind,
        options=file.options,
        needs=tuple(file.needs),
        rules=tuple(sorted(rules, key=lambda one: one.since)),
        checked=tuple(_release(path, text) for text in file.checked),
    )


def _release(path: Path, text: str) -> Release:
    match = re.fullmatch(r"(\d+)\.(\d+)", text)
    if not match:
        raise ConfigError(f"{path}: '{text}' is not a release such as 6.12.")
    return int(match[1]), int(match[2])


@functools.cache
def tracers() -> Mapping[str, Tracer]:
    """Return the tracers by name."""
    files = sorted((resources.configs() / "tracers").glob("*.yaml"))
    return {path.stem: load(path) for path in files}


def select(names: Sequence[str]) -> list[Tracer]:
    """
    Return the tracers that match any of the shell patterns, or all without one.

    `!PATTERN` leaves some out.  Raises ConfigError for a pattern that matches none, and where
    all are left out.
    """
    return patterns.select("tracer", tracers(), ["*" if text == ALL else text for text in names])


def pairs(tracers: Sequence[Tracer], cases: Sequence[Case]) -> list[tuple[Tracer, Case]]:
    """Return each tracer with each case that it takes; raise ConfigError if none takes any."""
    found = [(tracer, case) for tracer in tracers for case in cases if tracer.takes(case)]
    if not found:
        raise ConfigError(
            "The tracers that are chosen take none of the cases that are.",
            "A redirect, and whatever has a jprobe or GDB beside it, takes functions of the test"
            " modules: choose other cases.",
        )
    return found
