# SPDX-License-Identifier: GPL-2.0-only
"""What a guest may send to the user's terminal, however it comes in pieces."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from harness.vm.escapes import RESTORED, STRING_MAX, Escapes

# What an editor writes when it opens a file, and colours of all sorts.
HARMLESS = (
    "\x1b[?1049h\x1b[?25l\x1b[2J\x1b[1;24r\x1b[H\x1b[7mtext\x1b[m\r\n\x1b[K~\b \t\x1b[?12;25h",
    "\x1b[38;5;208mcolour\x1b[48:2:1:2:3mcolour\x1b[0m",
    "\x1b7\x1b[10;20Hthere\x1b8\x1b(0lqqk\x1b(B\x0e\x0f\x1bM\x1b=\x1b>",
    "\x1b[4h\x1b[3@\x1b[2P\x1b[4lK\u00e4se \u4e2d\u6587 \u00a0 \u2014",
    RESTORED,
)
# Each with what is left of it.
REFUSED = (
    ("\x1b]52;c;ZXZpbA==\x07a", "a"),
    ("\x1b]0;title\x1b\\a", "a"),
    ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link"),
    ("\x1bP$q\"p\x1b\\a", "a"),
    ("\x1b_Gf=100;AAAA\x1b\\a", "a"),
    ("\x1b^private\x1b\\\x1bXstring\x1b\\a", "a"),
    ("\x1b[6na\x1b[5n", "a"),
    ("\x1b[ca\x1b[>c\x1b[=c\x1bZ\x05", "a"),
    ("\x1b[21ta\x1b[8;1;1t", "a"),
    ("\x1b[?1$pa\x1b[4$p\x1b[?6n\x1b[?1000h\x1b[?1004h\x1b[2h\x1b[?1;1000h", "a"),
    ("\x1b[5ia\x1b[99999b\x1b[>4;2m\x1b[ q\x1b[<u", "a"),
    ("\x9b6na\x9d52;c;AA\x9c\x90\x85", "6na52;c;AA"),
    ("\u202ea\u2066\u200b\ufeff\u2028\U000e0041", "a"),
    ("\x00a\x1a\x7f\x1c", "a"),
    ("\x1b[3Ja\x1b[0;3J\x1bc\x1b#8\x1b%G\x1b[!p", "a"),
    ("\x1b[3\x1b[1ma", "\x1b[1ma"),
    ("\x1b[3\na\x1b\nb", "\na\nb"),
    ("\x1b]" + "x" * STRING_MAX + "a", "a"),
    ("\x1b[" + "1;" * 200 + "ma", None),
)  # fmt: skip


def passed(text: str, cuts: list[int]) -> str:
    escapes, ends = Escapes(), [0, *sorted(cuts), len(text)]
    return "".join(escapes.passed(text[a:b], 0) for a, b in itertools.pairwise(ends))


def cuts(text: str, chance: random.Random) -> list[int]:
    return [chance.randrange(len(text) + 1) for _ in range(chance.randrange(12))]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_an_editor_needs_goes_through(text: str) -> None:
    chance = random.Random(1)
    for _ in range(50):
        assert passed(text, cuts(text, chance)) == text


@pytest.mark.parametrize(("text", "left"), REFUSED)
def test_the_rest_does_not(text: str, left: str | None) -> None:
    chance = random.Random(2)
    for _ in range(50):
        got = passed(text, cuts(text, chance))
        assert got == left if left is not None else "\x1b" not in got


def test_bells_are_one_a_second() -> None:
    escapes = Escapes()
    assert escapes.passed("\a" * 1000, 0) == "\a"
    assert escapes.passed("\a", 0.9) == ""
    assert escapes.passed("x\a\a", 1.1) == "x\a"


# Anything that a terminal acts upon, and is not in this form, has got through.
SEQUENCE = re.compile(r"\x1b(?:\[\??[\d;:]*[A-Za-z`@]|[78DEM=>]|[()*+][AB012])")
PIECES = (*"\x1b\x1b\x1b[[[]?;015cnthlmHPX^_\\$p(B\x07\x9b\x9c\x18\x05a", "\x1b[", "\x1b]52;c;")
ANSWERED = re.compile(r"\x1b\[[?>=]?[\d;]*(?:[cnxtip]|\$p)")


def test_whatever_comes_no_sequence_is_left_open_or_answered() -> None:
    chance = random.Random(3)
    for _ in range(3000):
        text = "".join(chance.choice(PIECES) for _ in range(chance.randrange(40)))
        got = passed(text, cuts(text, chance))
        assert not ANSWERED.search(got), repr(text)
        assert re.fullmatch("[\x20-\x7e\a]*", SEQUENCE.sub("", got)), repr(text)
