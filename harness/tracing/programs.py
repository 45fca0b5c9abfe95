# SPDX-License-Identifier: GPL-2.0-only
"""BPF programs, which a program in the guest attaches; see kernel-modules/trace/trace.c."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from harness.abi.aapcs64 import GENERAL_REGISTERS
from harness.abi.ctype import align_up
from harness.inspect.guest import Guest
from harness.model.observation import Observation
from harness.tracers.tracer import Tracer
from harness.tracing.function import BPFFS, Attachment, Function, Values

MODULE = "probe_targets"
_FOLDER = f"{BPFFS}/jp"
_WORD = 8
# Attaching one by one waits for the other CPUs each time.
_SECONDS = 120
# Of the kernel's own errors, what is in no header of user space.
_OWN = {524: "ENOTSUPP"}


class Programs(Attachment):
    """A program on each function."""

    def __init__(self, tracer: Tracer) -> None:
        self._attach = tracer.options["attach"]
        self._reads = tracer.options["reads"]

    @property
    def _by_register(self) -> bool:
        """Whether argument N is taken to be in register N."""
        return self._attach == "kprobe-multi"

    def attach(self, guest: Guest, functions: Sequence[Function]) -> list[str]:
        words = " ".join(map(self.argument, functions))
        guest.run(f"/bin/busybox mkdir {_FOLDER}")
        trace = f"/bin/trace {self._attach} {self._reads} {MODULE}"
        ran = guest.run(f"{trace} {words}", seconds=_SECONDS)
        lines = ran.output.splitlines()
        if ran.status or len(lines) != len(functions):
            # One line says why there is no map.
            return [_words(ran.output.strip())] * len(functions)
        return ["" if line == "ok" else _words(line) for line in lines]

    def argument(self, function: Function) -> str:
        """Return a function as the program in the guest takes it."""
        return f"{self._name(function)}:{self._slots(function)}"

    def _name(self, function: Function) -> str | int:
        return function.symbol if self._by_register else function.number

    def _slots(self, function: Function) -> int:
        if self._by_register:
            return min(len(function.traced.types), GENERAL_REGISTERS)
        return sum(_words_of(function))

    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        found: list[Values] = [()] * len(functions)
        for line in guest.run("/bin/trace read", seconds=_SECONDS).output.splitlines():
            index, *slots = line.split()
            words = [int(slot, 16).to_bytes(_WORD, "little") for slot in slots]
            function = functions[int(index)]
            found[int(index)] = (
                _in_order(function, words) if self._by_register else _by_size(function, words)
            )
        return found


def _words_of(function: Function) -> list[int]:
    return [align_up(one.size, _WORD) // _WORD for one in function.traced.types]


def _in_order(function: Function, words: Sequence[bytes]) -> Values:
    count = len(function.traced.types)
    return tuple(words[i] if i < GENERAL_REGISTERS else None for i in range(count))


def _by_size(function: Function, words: Sequence[bytes]) -> Values:
    """Return the arguments, each of which takes as many slots as its size has words."""
    values, slot = [], 0
    for count in _words_of(function):
        values.append(b"".join(words[slot : slot + count]))
        slot += count
    return tuple(values)


def _words(line: str) -> str:
    """Return the step that was refused, the error and the kernel's own words."""
    step, _, rest = line.partition(" ")
    number, _, said = rest.partition(" ")
    code = int(number) if number.isdigit() else 0
    error = errno.errorcode.get(code) or _OWN.get(code, f"error {number}")
    return f"{step}: {error}" + (f": {said.strip()}" if said.strip() else "")
