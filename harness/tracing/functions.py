# SPDX-License-Identifier: GPL-2.0-only
"""The tracers function and function_graph of tracefs, which print arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.errors import KernelFault
from harness.inspect.guest import Guest
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

# A call in the output of either: the function's name and its arguments.
_CALL = r"(?P<name>\w+)(?: \[\w+\])?\((?P<words>[^()\n]*(?:\(\w+\)[^()\n]*)*)\)(?: <-|;| \{)"
_TIME = r"(?P<seconds>\d{1,10})\.(?P<micro>\d{6})"
_LINES = {
    "function": re.compile(rf"-(?P<pid>\d{{1,10}}) +\[(?P<cpu>\d{{1,4}})\] +\S+ +{_TIME}: {_CALL}"),
    "function_graph": re.compile(
        rf"{_TIME} \| +(?P<cpu>\d{{1,4}})\) +\S+-(?P<pid>\d{{1,10}}) +\|[^|\n]*\| +{_CALL}"
    ),
}
# Prints for each word "ok", or the error.
_FILTER = (
    f'for word in {{words}}; do if echo "$word" 2>/error >>{TRACEFS}/set_ftrace_filter;'
    " then echo ok; else /bin/busybox cat /error; fi; done"
)
_SECONDS = 60
# What function_graph does not print otherwise.
_GRAPH = "for o in abstime proc; do echo 1 >options/funcgraph-$o; done"
# The words of an aggregate, or a number; behind that of an enumeration is the name.
_ARGUMENT = re.compile(r"(?:\w*=)?\??(?:\(\w*\)\[([^\]]*)\]|(-?\w+)(?: \[\w*\])?)")
_WORD = 8


class Functions(Attachment):
    """One of the two tracers, with the option that has it print arguments."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer.options["tracer"]
        self._option = tracer.options["option"]

    def attach(self, guest: Guest, functions: Sequence[Function]) -> list[str]:
        no = f"no {self._option}: "
        ran = guest.run(f"echo nop >{TRACEFS}/current_tracer", _SECONDS)
        if ran.status:
            return [no + _error(ran.output)] * len(functions)
        refused: dict[str, str] = {}
        # Each word takes a look at all functions of the kernel.
        for words in in_lines(list(dict.fromkeys(one.pattern for one in functions))):
            said = guest.run(_FILTER.format(words=" ".join(words)), _SECONDS).output.splitlines()
            if len(said) != len(words):
                raise KernelFault(f"The guest told of {len(said)} of {len(words)} functions.")
            refused |= {word: _error(line) for word, line in zip(words, said) if line != "ok"}
        found = [refused.get(one.pattern, "") for one in functions]
        # Without a filter, all functions of the kernel were traced.
        if all(found):
            return found
        for command in self._commands:
            ran = guest.run(command, _SECONDS)
            if ran.status:
                return [one or no + _error(ran.output) for one in found]
        return found

    @property
    def _commands(self) -> Iterator[str]:
        """Yield the commands that begin to trace what the filter names."""
        if self._tracer == "function_graph":
            yield f"cd {TRACEFS}; {_GRAPH}"
        yield f"echo {self._tracer} >{TRACEFS}/current_tracer"
        yield f"echo 1 >{TRACEFS}/options/{self._option}"

    def detach(self, guest: Guest) -> None:
        guest.run(f"cd {TRACEFS}; echo nop >current_tracer; echo >set_ftrace_filter", _SECONDS)
        guest.run(f"echo >{TRACEFS}/trace")

    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        shown = guest.run(f"/bin/busybox grep -v '^#' {TRACEFS}/trace", _SECONDS).output
        calls: dict[str, list[Call[str]]] = {}
        for match in _LINES[self._tracer].finditer(shown):
            time = int(match["seconds"] + match["micro"])
            call = Call(time, int(match["cpu"]), int(match["pid"]), match["words"])
            calls.setdefault(match["name"], []).append(call)
        found = [
            chosen(calls.get(one.symbol, ()), saw.moment if saw else None)
            for one, saw in zip(functions, observed)
        ]
        return [
            () if words is None else tuple(_values(words, len(one.traced.types)))
            for one, words in zip(functions, found)
        ]


def _error(output: str) -> str:
    return output.strip().rpartition(": ")[2]


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
