# SPDX-License-Identifier: GPL-2.0-only
"""
A filter for what a guest sends to the user's terminal.

A guest may move the cursor, change colours, erase and scroll.  The filter drops sequences that
the terminal answers, because the answer would arrive as typed input, and sequences with an
effect outside of the screen: on its title, the clipboard, a printer or the scrollback.  There is
no I/O here; the names are those of ECMA-48 and of XTerm's control sequences (ctlseqs).
"""

from __future__ import annotations

import enum
import re

from harness import printable

# The terminal beeps at most once in this time.
BELL_SECONDS = 1.0
# A sequence, or a string such as a title, that is longer is dropped.
SEQUENCE_MAX, STRING_MAX = 64, 4096

# Backspace, tab, the three ways to the next line, carriage return, and two sets of letters.
_OBEYED = "\b\t\n\v\f\r\x0e\x0f"
# Ordinary text, which is passed on at once and not character by character.
_PLAIN = re.compile("[\x20-\x7e\n\r]+")
# The last characters of CSI sequences that pass: cursor, erase, insert and delete, scroll, tabs,
# colours, margins, save and restore, repeat.
_FINALS = frozenset("ABCDEFGHIJKLMPSTXZ`abdefmrsu@")
# Modes that may be set and reset: insertion; with DECSET: cursor keys, wrap, a blinking and a
# visible cursor, the alternate screen and its cursor, and bracketed paste.
_INSERTION = "4"
_MODES = frozenset(["1", "7", "12", "25", "47", "1047", "1048", "1049", "2004"])
_PARAMETERS = re.compile(r"\d{0,4}(?:[;:]\d{0,4})*")
# What may be erased: below, above, all; not the scrollback.
_ERASED = ("", "0", "1", "2")
# Save and restore, index, next line, reverse index, keypad.
_ESCAPES = frozenset("78DEM=>")
_CHARSETS = re.compile(r"[()*+][AB012]")
# These begin a string: DCS, SOS, OSC, PM, APC.
_STRINGS = "PX]^_"

# Undoes what a guest may have left: modes, the alternate screen, margins (whose reset moves the
# cursor, so that it is saved and restored), colours, line-drawing letters.
RESTORED = (
    "\x1b[?2004l\x1b[?1l\x1b>\x1b[4l\x1b[?7h\x1b[?25h\x1b[?47l\x1b7\x1b[r\x1b8\x1b[m\x1b(B\x0f"
)


class _In(enum.Enum):
    """What the last character belonged to."""

    TEXT = enum.auto()
    ESCAPE = enum.auto()
    CSI = enum.auto()
    STRING = enum.auto()


class Escapes:
    """Filters a guest's output, which arrives in pieces that may end anywhere."""

    def __init__(self) -> None:
        self._in = _In.TEXT
        # The part of a sequence that has arrived, and the length of a string so far.
        self._begun = ""
        self._dropped = 0
        self._rang = -BELL_SECONDS

    def passed(self, text: str, now: float) -> str:
        """Return what of `text` the terminal may get; `now` is a time in seconds, for bells."""
        passed, at = [], 0
        while at < len(text):
            if self._in is _In.TEXT and (plain := _PLAIN.match(text, at)):
                passed.append(plain[0])
                at = plain.end()
            else:
                passed.append(self._next(text[at], now))
                at += 1
        return "".join(passed)

    def _next(self, character: str, now: float) -> str:
        if character == "\x1b":
            self._in, self._begun = _In.ESCAPE, character
            return ""
        match self._in:
            case _In.TEXT:
                return self._text(character, now)
            case _In.ESCAPE:
                return self._escape(character, now)
            case _In.CSI:
                return self._csi(character, now)
            case _In.STRING:
                return self._string(character)

    def _text(self, character: str, now: float) -> str:
        if character == "\a":
            if now - self._rang < BELL_SECONDS:
                return ""
            self._rang = now
            return character
        return character if character in _OBEYED or printable.is_seen(character) else ""

    def _ended(self, passes: bool) -> str:
        sequence, self._begun, self._in = self._begun, "", _In.TEXT
        return sequence if passes else ""

    def _escape(self, character: str, now: float) -> str:
        if not " " <= character <= "~":
            self._ended(False)
            return self._text(character, now)
        self._begun += character
        if self._begun == "\x1b[":
            self._in = _In.CSI
            return ""
        if len(self._begun) == 2 and character in _STRINGS:
            self._in, self._dropped = _In.STRING, 0
            return ""
        if character < "0" and len(self._begun) < SEQUENCE_MAX:
            # An intermediate character, which others follow.
            return ""
        rest = self._begun[1:]
        return self._ended(rest in _ESCAPES or bool(_CHARSETS.fullmatch(rest)))

    def _csi(self, character: str, now: float) -> str:
        if not " " <= character <= "~":
            self._ended(False)
            return self._text(character, now)
        self._begun += character
        if character < "@" and len(self._begun) < SEQUENCE_MAX:
            return ""
        return self._ended(_is_harmless(self._begun[2:-1], character))

    def _string(self, character: str) -> str:
        self._dropped += 1
        if character in "\a\x18\x1a\x9c" or self._dropped == STRING_MAX:
            self._ended(False)
        return ""


def _is_harmless(parameters: str, final: str) -> bool:
    """Return whether a CSI sequence only affects the screen, and is not answered."""
    if parameters.startswith("?"):
        return final in "hl" and set(parameters[1:].split(";")) <= _MODES
    if final in "hl":
        return parameters == _INSERTION
    if final == "J":
        return parameters in _ERASED
    return final in _FINALS and bool(_PARAMETERS.fullmatch(parameters))
