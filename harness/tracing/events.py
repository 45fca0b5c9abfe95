# SPDX-License-Identifier: GPL-2.0-only
"""Events of tracefs: kprobe, return and fprobe events, each on one function."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import KernelFault
from harness.inspect.guest import Guest
from harness.measure.fetch import fetched
from harness.measure.located import Given, located
from harness.model.observation import Observation
from harness.tracers.tracer import Tracer
from harness.tracing.function import (
    TRACEFS,
    Attachment,
    Call,
    Function,
    Values,
    chosen,
    in_lines,
    number,
)

# Of one event; the kernel takes up to 128, and not more than a page of text.
FETCHES_MAX = 48
# A line without an end was cut.
_RECORD = re.compile(
    r"-(\d{1,10}) +\[(\d{1,4})\] +\S+ +(\d{1,10})\.(\d{6}): (e\d+): \([^)\n]*\)(.*)\n"
)
# Defines an event and prints "ok", or the error and what the kernel says of it.
_DEFINE = (
    f't={TRACEFS}; d() {{ if {{ echo "$1" >>$t/dynamic_events; }} 2>/error; then echo ok; else'
    ' echo "$(/bin/busybox cat /error) $(/bin/busybox grep -m1 error: $t/error_log)";'
    " echo >$t/error_log; fi; } 2>/dev/null; "
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
        if len(said) != len(self._events):
            raise KernelFault(
                f"The guest told of {len(said)} of {len(self._events)} events how it went."
            )
        refused = dict.fromkeys((one.symbol for one in functions), "")
        for event, line in zip(self._events, said):
            if line != "ok":
                refused[event.function.symbol] = _words(line)
        ran = guest.run(f"[ ! -d {TRACEFS}/events/jp ] || echo 1 >{TRACEFS}/events/jp/enable", 60)
        why = f"enable: {_words(ran.output)}" if ran.status else ""
        return [refused[one.symbol] or why for one in functions]

    def _of(self, functions: Sequence[Function]) -> Iterator[_Event]:
        number = 0
        for function in functions:
            for fetches in definitions(self._how, function):
                yield _Event(f"e{number}", function, fetches)
                number += 1

    def _definition(self, event: _Event) -> str:
        place = event.function.symbol + (f"%{self._exit}" if self._exit else "")
        return f"{self._letter}:jp/{event.name} {place} {words(event.fetches)}"

    def detach(self, guest: Guest) -> None:
        guest.run(f"cd {TRACEFS}; [ ! -d events/jp ] || echo 0 >events/jp/enable", 60)
        # All of them: earlier kernels do not know how to delete those of one group.
        guest.run(f"cd {TRACEFS}; echo >dynamic_events; echo >trace", 60)

    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        calls: dict[str, list[Call[dict[str, int]]]] = {}
        shown = guest.run(f"/bin/busybox grep -v '^#' {TRACEFS}/trace", seconds=60).output
        for pid, cpu, seconds, micro, name, words in _RECORD.findall(shown):
            call = Call(int(seconds + micro), int(cpu), int(pid), dict(_pairs(words)))
            calls.setdefault(name, []).append(call)
        return [
            self._of_function(
                function,
                {name: chosen(of, saw.moment if saw else None) for name, of in calls.items()},
            )
            for function, saw in zip(functions, observed)
        ]

    def _of_function(
        self, function: Function, found: Mapping[str, Mapping[str, int] | None]
    ) -> Values:
        values: dict[int, int] = {}
        missing: set[int] = set()
        for event in self._events:
            if event.function is not function:
                continue
            read = found.get(event.name) or {}
            for fetch in event.fetches:
                if fetch.name in read:
                    bits = read[fetch.name] & (1 << fetch.width) - 1
                    values[fetch.argument] = values.get(fetch.argument, 0) | bits << fetch.start
                else:
                    missing.add(fetch.argument)
        return tuple(
            values[index].to_bytes(max(type_.size, _WORD) if self._whole else _WORD, "little")
            if index in values and index not in missing
            else None
            for index, type_ in enumerate(function.traced.types)
        )


def _pairs(words: str) -> Iterator[tuple[str, int]]:
    """Yield what a record has by name; what could not be read, such as "(fault)", is left out."""
    for word in words.split():
        name, _, text = word.partition("=")
        value = number(text)
        if value is not None:
            yield name, value


def _words(line: str) -> str:
    """Return the error and what the kernel says of it, without the time of either."""
    error, _, said = line.partition("[")
    error = error.strip().rpartition(": ")[2]
    words = said.partition("error: ")[2].strip()
    return f"{error}: {words}" if words else error
