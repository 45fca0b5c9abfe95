# SPDX-License-Identifier: GPL-2.0-only
"""What a user chooses of named things, by names and shell patterns."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Mapping, Sequence
from typing import TypeVar

from harness.errors import ConfigError, nearest

T = TypeVar("T")
# Before a pattern for what is left out.
BUT = "!"


def select(what: str, known: Mapping[str, T], patterns: Sequence[str]) -> list[T]:
    """
    Return what any of the patterns matches, in the patterns' order, or all without a pattern.

    `what` is the English name of one of them, which `jprobe-harness list` takes with an "s".
    Raises ConfigError for a pattern that matches none, and where all are left out.
    """
    left_out = [text.removeprefix(BUT) for text in patterns if text.startswith(BUT)]
    chosen = [text for text in patterns if not text.startswith(BUT)] or ["*"]
    names = dict.fromkeys(_matched(what, known, chosen))
    for name in _matched(what, known, left_out):
        names.pop(name, None)
    if not names:
        raise ConfigError(f"All {what}s that are chosen are left out.")
    return [known[name] for name in names]


def _matched(what: str, known: Mapping[str, T], patterns: Sequence[str]) -> list[str]:
    def named(text: str) -> list[str]:
        names = [text] if text in known else fnmatch.filter(known, text)
        if not names:
            raise ConfigError(
                f"There is no {what} '{text}'.{nearest(text, known)}",
                f"See: jprobe-harness list {what}s",
            )
        return names

    return list(itertools.chain.from_iterable(map(named, patterns)))
