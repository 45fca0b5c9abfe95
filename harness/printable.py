# SPDX-License-Identifier: GPL-2.0-only
r"""
Text from outside, escaped so that every character is visible and none acts on the output.

A kernel's output, a patch's file name or an error of git's may contain characters that a
terminal, a browser or a mail program acts upon: escapes, bidirectional overrides, blanks of no
width.  They are shown as \x1b and \u202e; other text is left as it is.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# Invisible characters (Default_Ignorable_Code_Point) that isprintable() takes for printable.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Characters to check one by one; all others are printable ASCII.
_UNUSUAL = re.compile("[^\x20-\x7e]")
_UNUSUAL_IN_LINES = re.compile("[^\x20-\x7e\n\t]")
_BREAK = re.compile("\r?\n|\t")


def is_seen(character: str) -> bool:
    """Return whether a character is visible, or a plain blank, and has no other effect."""
    if _UNSEEN.match(character):
        return False
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return character if is_seen(character) else character.encode("unicode_escape").decode()


def shown(text: str) -> str:
    """Return the text with unsafe characters escaped; newlines and tabs stay."""
    return _UNUSUAL_IN_LINES.sub(_escaped, text.replace("\r\n", "\n"))


def line(text: str) -> str:
    """Return the text escaped and on one line: newlines and tabs become blanks."""
    return _UNUSUAL.sub(_escaped, _BREAK.sub(" ", text))


def lines(texts: Iterable[str]) -> str:
    """Return the texts as the lines of a file, each escaped and on one line."""
    return "".join(f"{line(text)}\n" for text in texts)


def strings(value: Any) -> Any:
    """Return a copy of nested dicts and lists with shown() applied to each string."""
    match value:
        case str():
            return shown(value)
        case dict():
            return {strings(key): strings(item) for key, item in value.items()}
        case list() | tuple():
            return [strings(item) for item in value]
    return value


def as_json(document: str) -> str:
    """Return an equal JSON document in which unsafe characters are escaped."""

    def escaped(match: re.Match[str]) -> str:
        if is_seen(match[0]):
            return match[0]
        # JSON escapes UTF-16 units, of which a character has one or two.
        units = match[0].encode("utf-16-be").hex()
        return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))

    return _UNUSUAL_IN_LINES.sub(escaped, document)


class _Stream:
    """A text stream that applies shown() to all that is written."""

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
    """Return the stream below a guarded one, for text with our own escapes."""
    return stream.stream if isinstance(stream, _Stream) else stream


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Apply shown() to all text on standard output and error; bytes are not changed."""
    stdout, stderr = sys.stdout, sys.stderr
    for name, stream in (("stdout", stdout), ("stderr", stderr)):
        # A stream is None if the program was started without it.
        if stream is not None:
            setattr(sys, name, _Stream(unguarded(stream)))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr
