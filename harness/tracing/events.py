# SPDX-License-Identifier: GPL-2.0-only
"""Events of tracefs: kprobe, return and fprobe events, each on one function."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.inspect.guest import Guest
from harness.measure.fetch import fetched
from harness.measure.located import Given, located
from harness.model.observation import Observation
from harness.tracers.tracer import Tracer
from harness.tracing.function import TRACEFS, Attachment, Function, Values, in_lines

# Of one event; the kernel takes up to 128, and not more than a page of text.
FETCHES_MAX = 48
_RECORD = re.compile(r": (e\d+): \(.*?\) ?((?:\S+=\S+ ?)*)$", re.MULTILINE)
# Defines an event and prints "ok", or the error and what the kernel says of it.
_DEFINE = (
    f'cd {TRACEFS}; d() {{ if echo "$1" 2>/error >>dynamic_events; then echo ok; else'
    ' echo "$(/bin/busybox cat /error) $(/bin/busybox grep -m1 error: error_log)";'
    " echo >error_log; fi; } 2>/dev/null; "
)
_WORD = 8
_BITS = 64
# The most scalars of one argument that are fetched.
_LEAVES = 4096


@dataclass(frozen=True)
class Fetch:
    """A fetch argument, and the bits of which argument it reads."""

    # As in the event's definition.
    text: str
    # As the record names it.
    name: str
    argument: int
    # The first bit of the argument, and how many.
    start: int = 0
    width: int = _BITS


def _by_index(function: Function) -> Iterator[Fetch]:
    for index in range(len(function.traced.types)):
        yield Fetch(f"v{index}=$arg{index + 1}:x64", f"v{index}", index)


def _by_name(function: Function) -> Iterator[Fetch]:
    for index, name in enumerate(function.traced.names):
        # One word stands for all.
        yield Fetch("" if index else "$arg*", name, index)


def _by_place(function: Function) -> Iterator[Fetch]:
    names = [f"a{index}" for index in range(len(function.traced.types))]
    given = [Given(name, "", one) for name, one in zip(names, function.traced.types)]
    number = 0
    for index, argument in enumerate(located(given, function.traced.layout, _LEAVES)):
        for part in argument.parts:
            start = part.start
            for piece in part.pieces:
                name = f"v{number}"
                text = f"{name}={fetched('kprobe', piece)}"
                yield Fetch(text, name, index, start, piece.width)
                start += piece.width
                number += 1


_FETCHES = {"index": _by_index, "names": _by_name, "places": _by_place}


def definitions(how: str, function: Function) -> Iterator[Sequence[Fetch]]:
    """Yield the fetch arguments of each event that a function takes; `how` is an option's."""
    fetches = list(_FETCHES[how](function))
    for first in range(0, len(fetches), FETCHES_MAX):
        yield fetches[first : first + FETCHES_MAX]


def words(fetches: Sequence[Fetch]) -> str:
    """Return fetch arguments as an event's definition has them."""
    return " ".join(fetch.text for fetch in fetches if fetch.text)


@dataclass(frozen=True)
class _Event:
    """An event, which has some of a function's fetch arguments."""

    name: str
    function: Function
    fetches: Sequence[Fetch]


class Events(Attachment):
    """An event for each function, or several where it has many fetch arguments."""

    def __init__(self, tracer: Tracer) -> None:
        self._letter, _, self._exit = tracer.options["event"].partition("%")
        self._how = tracer.options["fetch"]
        # Whether all of an argument is fetched, or a word of each.
        self._whole = self._how == "places"
        self._events: list[_Event] = []

    def attach(self, guest: Guest, functions: Sequence[Function]) -> list[str]:
        self._events = list(self._of(functions))
        said: list[str] = []
        for group in in_lines([f"d '{self._definition(one)}'; " for one in self._events]):
            said += guest.run(_DEFINE + "".join(group), seconds=60).output.splitlines()
        refused = dict.fromkeys((one.symbol for one in functions), "")
        for event, line in zip(self._events, said, strict=True):
            if line != "ok":
                refused[event.function.symbol] = _words(line)
        guest.run(f"[ ! -d {TRACEFS}/events/jp ] || echo 1 >{TRACEFS}/events/jp/enable", 60)
        return [refused[one.symbol] for one in functions]

    def _of(self, functions: Sequence[Function]) -> Iterator[_Event]:
        number = 0
        for function in functions:
            for fetches in definitions(self._how, function):
                yield _Event(f"e{number}", function, fetches)
                number += 1

    def _definition(self, event: _Event) -> str:
        place = event.function.symbol + (f"%{self._exit}" if self._exit else "")
        return f"{self._letter}:jp/{event.name} {place} {words(event.fetches)}"

    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        found: dict[str, dict[str, int]] = {}
        shown = guest.run(f"/bin/busybox grep -v '^#' {TRACEFS}/trace", seconds=60).output
        for name, words in _RECORD.findall(shown):
            pairs = (word.partition("=") for word in words.split())
            found.setdefault(name, {name: int(text, 0) for name, _, text in pairs})
        return [self._of_function(function, found) for function in functions]

    def _of_function(self, function: Function, found: Mapping[str, Mapping[str, int]]) -> Values:
        values: dict[int, int] = {}
        for event in self._events:
            if event.function is not function:
                continue
            read = found.get(event.name, {})
            for fetch in event.fetches:
                if fetch.name in read:
                    bits = read[fetch.name] & (1 << fetch.width) - 1
                    values[fetch.argument] = values.get(fetch.argument, 0) | bits << fetch.start
        return tuple(
            values[index].to_bytes(max(type_.size, _WORD) if self._whole else _WORD, "little")
            if index in values
            else None
            for index, type_ in enumerate(function.traced.types)
        )


def _words(line: str) -> str:
    """Return the error and what the kernel says of it, without the time of either."""
    error, _, said = line.partition("[")
    error = error.rpartition("error: ")[2].strip() or error.strip()
    words = said.partition("error: ")[2].strip()
    return f"{error}: {words}" if words else error
