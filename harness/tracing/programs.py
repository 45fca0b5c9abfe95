# SPDX-License-Identifier: GPL-2.0-only
"""BPF programs, which a program in the guest attaches; see kernel-modules/trace/trace.c."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

from harness.abi.aapcs64 import GENERAL_REGISTERS
from harness.abi.ctype import align_up
from harness.errors import KernelFault
from harness.inspect.guest import Guest
from harness.model.observation import Observation
from harness.tracers.tracer import Tracer
from harness.tracing.function import BPFFS, Attachment, Call, Function, Values, chosen

_FOLDER = f"{BPFFS}/jp"
_WORD = 8
# Attaching one by one waits for the other CPUs each time.
_SECONDS = 120
# Of the kernel's own errors, what is in no header of user space.
_OWN = {524: "ENOTSUPP"}
_REFUSED = re.compile(r"(map|btf|load|attach|pin) ([0-9]{1,4}) ?(.*)")
_KEPT = re.compile(r"([0-9]{1,4}) ([0-9]{1,20}) ([0-9]{1,4}) ([0-9]{1,10})((?: [0-9a-f]{1,16})*)")


class Programs(Attachment):
    """A program on each function, all of which are in one BTF."""

    # It keeps 256 calls of each.
    forgets = True

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
        trace = f"/bin/trace {self._attach} {self._reads} {functions[0].module}"
        ran = guest.run(f"{trace} {words}", seconds=_SECONDS)
        lines = ran.output.splitlines()
        said = [_words(line) for line in lines]
        if lines and lines[0].startswith("map "):
            # Without a map there is no program.
            said *= len(functions)
        elif ran.status:
            said = []
        if len(said) != len(functions) or None in said:
            raise KernelFault(
                f"The program that loads BPF programs ended with status {ran.status}, and said:"
                f" {' | '.join(lines) or 'nothing'}"
            )
        return [why or "" for why in said]

    def argument(self, function: Function) -> str:
        """Return a function as the program in the guest takes it."""
        return f"{self._name(function)}:{self._slots(function)}"

    def _name(self, function: Function) -> str | int:
        return function.symbol if self._by_register else function.number

    def _slots(self, function: Function) -> int:
        if self._by_register:
            return min(len(function.traced.types), GENERAL_REGISTERS)
        return sum(_words_of(function))

    def detach(self, guest: Guest) -> None:
        guest.run(f"/bin/busybox rm -r {_FOLDER}")

    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        calls: list[list[Call[list[bytes]]]] = [[] for _ in functions]
        for line in guest.run("/bin/trace read", seconds=_SECONDS).output.splitlines():
            match = _KEPT.fullmatch(line)
            if match and (index := int(match[1])) < len(functions):
                time, cpu, pid = (int(match[group]) for group in (2, 3, 4))
                words = [int(slot, 16).to_bytes(_WORD, "little") for slot in match[5].split()]
                calls[index].append(Call(time // 1000, cpu, pid, words))
        found = [
            chosen(of, saw.moment if saw else None) for of, saw in zip(calls, observed, strict=True)
        ]
        return [
            () if words is None else self._values(function, words)
            for function, words in zip(functions, found)
        ]

    def _values(self, function: Function, words: Sequence[bytes]) -> Values:
        return _in_order(function, words) if self._by_register else _by_size(function, words)


def _words_of(function: Function) -> list[int]:
    return [align_up(one.size, _WORD) // _WORD for one in function.traced.types]


def _in_order(function: Function, words: Sequence[bytes]) -> Values:
    count = len(function.traced.types)
    kept = words[:GENERAL_REGISTERS]
    return tuple(kept[i] if i < len(kept) else None for i in range(count))


def _by_size(function: Function, words: Sequence[bytes]) -> Values:
    """Return the arguments, each of which takes as many slots as its size has words."""
    values: list[bytes | None] = []
    slot = 0
    for count in _words_of(function):
        kept = words[slot : slot + count]
        values.append(b"".join(kept) if len(kept) == count else None)
        slot += count
    return tuple(values)


def _words(line: str) -> str | None:
    """
    Return the step that was refused, the error and the kernel's own words.

    "" for a program that was attached, None for what is no line of the program's.
    """
    if line == "ok":
        return ""
    match = _REFUSED.fullmatch(line)
    if not match:
        return None
    code, said = int(match[2]), match[3].strip()
    error = errno.errorcode.get(code) or _OWN.get(code, f"error {code}")
    return f"{match[1]}: {error}" + (f": {said}" if said else "")
