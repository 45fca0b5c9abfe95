# SPDX-License-Identifier: GPL-2.0-only
r"""
Text from outside, as it may be shown: every character is seen, and none is obeyed.

What a kernel prints, how a patch is called and what git complains of may have characters in
it that a terminal, a browser or a mail program acts upon: escapes, bidirectional overrides,
blanks of no width.  They are shown as \x1b and \u202e; text without them is left as it is.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# Of Unicode's Default_Ignorable_Code_Point, what isprintable() takes for a letter or a mark.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# What takes a closer look; the rest is ASCII that is seen.
_UNUSUAL = re.compile("[^\x20-\x7e]")
_UNUSUAL_IN_LINES = re.compile("[^\x20-\x7e\n\t]")
_BREAK = re.compile("\r?\n|\t")


def is_seen(character: str) -> bool:
    """Whether a character takes place where it stands, and does nothing else."""
    if _UNSEEN.match(character):
        return False
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return character if is_seen(character) else character.encode("unicode_escape").decode()


def shown(text: str) -> str:
    """Text that may have lines and tabs."""
    return _UNUSUAL_IN_LINES.sub(_escaped, text.replace("\r\n", "\n"))


def line(text: str) -> str:
    """Text that stays in its line: for a line's end or a tab, it has a blank."""
    return _UNUSUAL.sub(_escaped, _BREAK.sub(" ", text))


def lines(texts: Iterable[str]) -> str:
    """A file of lines, each of which stays one."""
    return "".join(f"{line(text)}\n" for text in texts)


def strings(value: Any) -> Any:
    """A value of dicts and lists with each string in it shown()."""
    match value:
        case str():
            return shown(value)
        case dict():
            return {strings(key): strings(item) for key, item in value.items()}
        case list() | tuple():
            return [strings(item) for item in value]
    return value


def as_json(document: str) -> str:
    """A JSON document that says the same, in characters that are seen."""

    def escaped(match: re.Match[str]) -> str:
        if is_seen(match[0]):
            return match[0]
        # As JSON has them, and so one or two for a character.
        units = match[0].encode("utf-16-be").hex()
        return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))

    return _UNUSUAL_IN_LINES.sub(escaped, document)


class _Stream:
    """A stream of text that is shown."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(shown(text))

    def writelines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def unguarded(stream: TextIO) -> TextIO:
    """What a guarded stream writes to, for text with escapes of our own."""
    return stream.stream if isinstance(stream, _Stream) else stream


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Have all that is printed shown(), whoever prints it; bytes go past it."""
    stdout, stderr = sys.stdout, sys.stderr
    for name, stream in (("stdout", stdout), ("stderr", stderr)):
        # It is None where a program was started without it.
        if stream is not None:
            setattr(sys, name, _Stream(unguarded(stream)))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr
