# SPDX-License-Identifier: GPL-2.0-only
"""The tracers function and function_graph of tracefs, which print arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.inspect.guest import Guest
from harness.model.observation import Observation
from harness.tracers.tracer import Tracer
from harness.tracing.function import TRACEFS, Attachment, Function, Values, in_lines, number

# A call in the output of either: the function's name and its arguments.
_CALL = re.compile(r"(\w+)(?: \[\w+\])?\(([^()\n]*(?:\(\w+\)[^()\n]*)*)\)(?: <-|;| \{)")
# The words of an aggregate, or a number; behind that of an enumeration is the name.
_ARGUMENT = re.compile(r"(?:\w*=)?\??(?:\(\w*\)\[([^\]]*)\]|(-?\w+)(?: \[\w*\])?)")
_WORD = 8


class Functions(Attachment):
    """One of the two tracers, with the option that has it print arguments."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer.options["tracer"]
        self._option = tracer.options["option"]

    def attach(self, guest: Guest, functions: Sequence[Function]) -> list[str]:
        for command in self._commands(functions):
            ran = guest.run(command, 60)
            if ran.status:
                why = ran.output.strip().rpartition(": ")[2]
                return [f"no {self._option}: {why}"] * len(functions)
        return [""] * len(functions)

    def _commands(self, functions: Sequence[Function]) -> Iterator[str]:
        yield f"echo nop >{TRACEFS}/current_tracer"
        # Each word takes a look at all functions of the kernel.
        for words in in_lines(list(dict.fromkeys(one.pattern for one in functions))):
            yield f"echo '{' '.join(words)}' >>{TRACEFS}/set_ftrace_filter"
        yield f"echo {self._tracer} >{TRACEFS}/current_tracer"
        yield f"echo 1 >{TRACEFS}/options/{self._option}"

    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        shown = guest.run(f"/bin/busybox grep -v '^#' {TRACEFS}/trace", seconds=60).output
        found: dict[str, str] = {}
        for name, words in _CALL.findall(shown):
            found.setdefault(name, words)
        return [
            tuple(_values(found[one.symbol], len(one.traced.types))) if one.symbol in found else ()
            for one in functions
        ]


def _values(words: str, count: int) -> Iterator[bytes | None]:
    """Yield what is printed of each of `count` arguments."""
    texts = re.split(r", (?![^\[]*\])", words)
    for index in range(count):
        match = _ARGUMENT.fullmatch(texts[index]) if index < len(texts) else None
        numbers = [number(text) for text in _printed(match)] if match else []
        yield _octets(numbers)


def _printed(match: re.Match[str]) -> list[str]:
    """Return the words that are printed of an argument."""
    several: str | None = match[1]
    if several is None:
        return [match[2]]
    return [text for text in several.split(":") if text != "..."]


def _octets(numbers: Sequence[int | None]) -> bytes | None:
    """Return the bytes of words, None without any, or where one is no number."""
    known = [one for one in numbers if one is not None]
    if not known or len(known) < len(numbers):
        return None
    return b"".join((one % (1 << 64)).to_bytes(_WORD, "little") for one in known)
