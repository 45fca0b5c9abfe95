# SPDX-License-Identifier: GPL-2.0-only
"""
How each tracer gets at arguments on arm64, from the kernel's documentation and sources.

A rule says nothing of a kernel before the release it is from, and what it says of later ones holds
only as long as nobody has changed them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from harness.abi.aapcs64 import GENERAL_REGISTERS, Placement
from harness.abi.ctype import Composite, CType, align_up
from harness.tracers.reading import Read, Reading, Traced

_WORD = 8
# FTRACE_REGS_MAX_ARGS in kernel/trace/trace_output.c.
_PRINTED = 6
# MAX_BPF_FUNC_ARGS in include/linux/bpf.h, and the largest aggregate by value there.
_ARGUMENTS, _BY_VALUE = 12, 16


@dataclass(frozen=True)
class Tracer:
    """One way of tracing a function's entry."""

    name: str
    # How it is asked for.
    how: str
    # Where its rule is from.
    source: str
    # The first release that has it on arm64, and the one from which the rule is another.
    since: tuple[int, int]
    until: tuple[int, int] | None
    rule: Callable[[Traced], Reading]

    def has(self, release: tuple[int, int]) -> bool:
        """Whether a release has it with this rule."""
        return self.since <= release and (self.until is None or release < self.until)


def _at(type_: CType, placement: Placement, first: int, words: int) -> Read:
    """
    Return what is read of an argument by who takes `words` slots from slot `first` on.

    Slots 0 to 7 are x0-x7, and the others the words from SP on.
    """
    if placement.general:
        start = placement.general[0]
    elif placement.stack is not None and placement.stack % _WORD == 0:
        start = GENERAL_REGISTERS + placement.stack // _WORD
    else:
        return Read.ANOTHER
    if start != first:
        return Read.ANOTHER
    if placement.by_reference:
        return Read.ADDRESS
    return Read.RIGHT if type_.size <= words * _WORD else Read.TRUNCATED


def _by_index(traced: Traced) -> Reading:
    """Argument N is in xN, and 0 from the ninth on (regs_get_kernel_argument())."""
    placed = zip(traced.types, traced.layout.placements)
    return Reading(
        tuple(
            Read.ZERO if index >= GENERAL_REGISTERS else _at(type_, placement, index, 1)
            for index, (type_, placement) in enumerate(placed)
        )
    )


def _printed(traced: Traced) -> Reading:
    """Six registers, of which a struct takes as many as its size has words."""
    return Reading(tuple(_printed_reads(traced)))


def _printed_reads(traced: Traced) -> Iterator[Read]:
    slot = 0
    for type_, placement in zip(traced.types, traced.layout.placements):
        words = _words(type_) if isinstance(type_, Composite) else 1
        if slot >= _PRINTED:
            yield Read.ABSENT
        elif placement.by_reference and placement.general == (slot,):
            yield Read.ADDRESS
        else:
            fits = min(words, _PRINTED - slot)
            yield _at(type_, placement, slot, fits)
        slot += words


def _words(type_: CType) -> int:
    return align_up(type_.size, _WORD) // _WORD


def _refusal(traced: Traced) -> str:
    """Return why BTF of a function is not accepted (btf_distill_func_proto()), or ""."""
    if traced.variadic:
        return "variadic"
    if len(traced.types) > _ARGUMENTS:
        return f"more than {_ARGUMENTS} arguments"
    if any(isinstance(one, Composite) and one.size > _BY_VALUE for one in traced.types):
        return f"an aggregate of more than {_BY_VALUE} bytes"
    return ""


def _slots(traced: Traced) -> list[int]:
    """Return the first slot of each argument as the arm64 JIT's trampoline counts them."""
    found, register, stacked = [], 0, GENERAL_REGISTERS
    for type_ in traced.types:
        words = _words(type_)
        if register + words <= GENERAL_REGISTERS:
            found.append(register)
            register += words
        else:
            found.append(stacked)
            stacked += words
            register = GENERAL_REGISTERS
    return found


def _in_registers(traced: Traced) -> Reading:
    """As below, while the trampoline copied registers only and refused the rest."""
    if why := _refusal(traced):
        return Reading(refused=why)
    if sum(map(_words, traced.types)) > GENERAL_REGISTERS:
        return Reading(refused="more than 8 words of arguments")
    return _trampoline(traced)


def _trampoline(traced: Traced) -> Reading:
    """Slots by size, whatever the alignment (arch/arm64/net/bpf_jit_comp.c)."""
    if why := _refusal(traced):
        return Reading(refused=why)
    slots = _slots(traced)
    placed = zip(traced.types, traced.layout.placements, slots)
    return Reading(tuple(_at(t, placement, slot, _words(t)) for t, placement, slot in placed))


def _calling(rule: Callable[[Traced], Reading]) -> Callable[[Traced], Reading]:
    """Return the rule of a trampoline that calls the function itself, with what it has copied."""

    def called(traced: Traced) -> Reading:
        reading = rule(traced)
        if reading.refused:
            return reading
        ends = [slot + _words(type_) for slot, type_ in zip(_slots(traced), traced.types)]
        registers = max((end for end in ends if end <= GENERAL_REGISTERS), default=0)
        copied = max(ends, default=0)
        placed = enumerate(zip(traced.types, traced.layout.placements))
        lost = [
            index
            for index, (type_, placement) in placed
            if _end(type_, placement) > (registers if placement.stack is None else copied)
        ]
        return replace(reading, corrupts=tuple(lost))

    return called


def _end(type_: CType, placement: Placement) -> int:
    """Return the slot behind an argument."""
    if placement.stack is not None:
        return GENERAL_REGISTERS + align_up(placement.stack + type_.size, _WORD) // _WORD
    return placement.general[-1] + 1 if placement.general else 0


_KPROBETRACE = "Documentation/trace/kprobetrace.rst"
_FPROBETRACE = "Documentation/trace/fprobetrace.rst"
_OUTPUT = "kernel/trace/trace_output.c"
_JIT = "arch/arm64/net/bpf_jit_comp.c"
TRACERS = (
    Tracer("kprobe", "$arg1, $arg2, ... of a kprobe event", _KPROBETRACE, (4, 20), None, _by_index),
    Tracer("kprobe-btf", "$arg* or names of parameters", _KPROBETRACE, (6, 6), None, _by_index),
    Tracer("fprobe", "$arg1, ... of an fprobe event", _FPROBETRACE, (6, 14), None, _by_index),
    Tracer("func-args", "the option func-args of the function tracer", _OUTPUT, (6, 15), None,
           _printed),
    Tracer("fentry", "a BPF program at the entry", _JIT, (6, 4), (6, 16), _in_registers),
    Tracer("fentry", "a BPF program at the entry", _JIT, (6, 16), None, _trampoline),
    Tracer("fexit", "a BPF program at the exit", _JIT, (6, 4), (6, 16), _calling(_in_registers)),
    Tracer("fexit", "a BPF program at the exit", _JIT, (6, 16), None, _calling(_trampoline)),
)  # fmt: skip
NAMES = tuple(dict.fromkeys(one.name for one in TRACERS))
