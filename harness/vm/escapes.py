# SPDX-License-Identifier: GPL-2.0-only
"""
What a guest may tell the user's terminal to do: move the cursor, colour, erase and scroll.

Nothing that the terminal answers, as the answer would be typed, nor what reaches beyond the
screen: its title, the clipboard, a printer, the lines that have gone off it.  Pure; the names
are those of ECMA-48 and of XTerm's control sequences (ctlseqs).
"""

from __future__ import annotations

import enum
import re

from harness import printable

# A terminal beeps once in so many seconds.
BELL_SECONDS = 1.0
# Characters of a sequence, and of a string such as a title, after which it is none.
SEQUENCE_MAX, STRING_MAX = 64, 4096

# Backspace, tab, the three ways to the next line, carriage return, and two sets of letters.
_OBEYED = "\b\t\n\v\f\r\x0e\x0f"
# Most of what comes, so that it need not be looked at one by one.
_PLAIN = re.compile("[\x20-\x7e\n\r]+")
# Of CSI, by its last character: cursor, erase, insert and delete, scroll, tabs, colours,
# margins, save and restore, repeat.
_FINALS = frozenset("ABCDEFGHIJKLMPSTXZ`abdefmrsu@")
# Set and reset: insertion.  DECSET: cursor keys, wrap, the cursor's blinking and being there,
# the other screen and its cursor, and a mark around what is pasted.
_INSERTION = "4"
_MODES = frozenset(["1", "7", "12", "25", "47", "1047", "1048", "1049", "2004"])
_PARAMETERS = re.compile(r"\d{0,4}(?:[;:]\d{0,4})*")
# Of what is erased: below, above, all; not the lines that have gone off the screen.
_ERASED = ("", "0", "1", "2")
# Save and restore, index, next line, reverse index, keypad.
_ESCAPES = frozenset("78DEM=>")
_CHARSETS = re.compile(r"[()*+][AB012]")
# Begin a string: DCS, SOS, OSC, PM, APC.
_STRINGS = "PX]^_"

# Undoes what a guest may have left: modes, another screen, margins (which move the cursor, so
# it is put back), colours, letters that draw lines.
RESTORED = (
    "\x1b[?2004l\x1b[?1l\x1b>\x1b[4l\x1b[?7h\x1b[?25h\x1b[?47l\x1b7\x1b[r\x1b8\x1b[m\x1b(B\x0f"
)


class _In(enum.Enum):
    """What the last character was a part of."""

    TEXT = enum.auto()
    ESCAPE = enum.auto()
    CSI = enum.auto()
    STRING = enum.auto()


class Escapes:
    """Lets a guest's output through as it comes, in pieces that may end anywhere."""

    def __init__(self) -> None:
        self._in = _In.TEXT
        # Of a sequence: what has come of it; of a string: how much.
        self._begun = ""
        self._dropped = 0
        self._rang = -BELL_SECONDS

    def passed(self, text: str, now: float) -> str:
        """What of `text` the terminal is given; `now` is in seconds, for bells."""
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
            # Another one follows.
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
    """Whether a terminal does what CSI `parameters` `final` says, answers nothing, and is done."""
    if parameters.startswith("?"):
        return final in "hl" and set(parameters[1:].split(";")) <= _MODES
    if final in "hl":
        return parameters == _INSERTION
    if final == "J":
        return parameters in _ERASED
    return final in _FINALS and bool(_PARAMETERS.fullmatch(parameters))
