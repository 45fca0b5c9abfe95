# SPDX-License-Identifier: GPL-2.0-only
"""
How each tracer gets at arguments on arm64, from the kernel's documentation and sources.

A rule says nothing of a kernel before the release it is from, and what it says of later ones holds
only as long as nobody has changed them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from harness.abi.aapcs64 import GENERAL_REGISTERS, Placement
from harness.abi.ctype import Composite, CType, Scalar, align_up
from harness.abi.offsets import NONE, Offsets
from harness.tracers.reading import Read, Reading, Traced

Rule = Callable[[Traced], Reading]

_WORD = 8
# MAX_BTF_ARGS_LEN in kernel/trace/trace_probe.h, less the end of the string.
_EXPANDED = 127
# How many words an fprobe can keep: FPROBE_HEADER_MSB_SIZE_SHIFT in kernel/trace/fprobe.c has
# four bits for their number.
_SAVED = 15
# FTRACE_REGS_MAX_ARGS in kernel/trace/trace_output.c.
_PRINTED = 6
# MAX_BPF_FUNC_ARGS in include/linux/bpf.h, and the largest aggregate by value there.
_ARGUMENTS, _BY_VALUE = 12, 16


def _at(type_: CType, placement: Placement, first: int, words: int) -> Read:
    """
    Return what is read of an argument by who takes `words` slots from slot `first` on.

    Slots 0 to 7 are x0-x7, and the others the words from SP on.
    """
    if not type_.size:
        # GNU C has empty structs, which lie nowhere.
        return Read.RIGHT
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


def _placement(traced: Traced) -> Reading:
    """By the places that AAPCS64 gives."""
    return Reading((Read.RIGHT,) * len(traced.types))


def _by_index_at_exit(traced: Traced) -> Reading:
    """As by index, of what was saved at the entry (fprobe's entry data)."""
    if len(traced.types) > _SAVED:
        return Reading(refused=f"more than {_SAVED} arguments")
    return _by_index(traced)


def _by_name(traced: Traced) -> Reading:
    """The index is that of the parameter in BTF (traceprobe_expand_meta_args())."""
    if not traced.btf:
        return Reading(refused="not in BTF")
    if traced.variadic:
        return Reading(refused="variadic")
    if sum(len(name) + 1 for name in traced.names) > _EXPANDED:
        return Reading(refused=f"names of more than {_EXPANDED} characters")
    return _by_index(traced)


def _registers(traced: Traced) -> Reading:
    """Argument N is in xN, and there is no ninth one (PT_REGS_PARMn)."""
    reads = _by_index(traced).reads
    return Reading(tuple(Read.ABSENT if read is Read.ZERO else read for read in reads))


def _prototype(traced: Traced) -> Reading:
    """A function with the same prototype, which can pass on only what it has names for."""
    return replace(_placement(traced), called=not traced.variadic)


def _printed(traced: Traced) -> Reading:
    """Six registers, of which a struct takes as many as its size has words."""
    if not traced.btf:
        return Reading((Read.ABSENT,) * len(traced.types))
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
    if not traced.btf:
        return "not in BTF"
    if traced.returns_aggregate:
        return "returns an aggregate"
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


def _without_unions(rule: Rule) -> Rule:
    """Return the rule of releases in which BTF's size of a union counts for nothing."""

    def refusing(traced: Traced) -> Reading:
        if any(isinstance(one, Composite) and one.keyword == "union" for one in traced.types):
            return Reading(refused="a union")
        return rule(traced)

    return refusing


def _modifying(rule: Rule) -> Rule:
    """Return the rule of who may change what the function returns (bpf_check_attach_target())."""

    def modified(traced: Traced) -> Reading:
        return rule(traced) if traced.modifiable else Reading(refused="not registered for it")

    return modified


def _of_words(rule: Rule) -> Rule:
    """Return the rule of who reads the context, integers of one word only (btf_ctx_access())."""

    def reading(traced: Traced) -> Reading:
        found = rule(traced)
        wide = any(isinstance(one, Scalar) and one.size > _WORD for one in traced.types)
        return Reading(refused="an integer of two words") if wide and found.reads else found

    return reading


def _calling(rule: Rule) -> Rule:
    """Return the rule of a trampoline that calls the function itself, with what it has copied."""

    def called(traced: Traced) -> Reading:
        reading = rule(traced)
        if reading.refused:
            return reading
        ends = [slot + _words(type_) for slot, type_ in zip(_slots(traced), traced.types)]
        registers = max((end for end in ends if end <= GENERAL_REGISTERS), default=0)
        copied = max(ends, default=0)
        lost = {}
        for index, (type_, placement) in enumerate(zip(traced.types, traced.layout.placements)):
            kept = registers if placement.stack is None else copied
            if offsets := _behind(type_, placement, kept):
                lost[index] = offsets
        return replace(reading, corrupts=lost)

    return called


def _behind(type_: CType, placement: Placement, slot: int) -> Offsets:
    """Return the bytes of an argument that lie in a slot or behind it."""
    if placement.stack is not None:
        kept = _WORD * (slot - GENERAL_REGISTERS) - placement.stack
    elif placement.general:
        kept = _WORD * (slot - placement.general[0])
    else:
        return NONE
    size = _WORD if placement.by_reference else type_.size
    return Offsets.span(max(kept, 0), size)


# By the names that the files of tracers use.
RULES: Mapping[str, Rule] = {
    "placement": _placement,
    "by-index": _by_index,
    "by-index-at-exit": _by_index_at_exit,
    "by-name": _by_name,
    "registers": _registers,
    "printed": _printed,
    "register-slots": _without_unions(_in_registers),
    "stack-slots": _without_unions(_trampoline),
    "slots": _trampoline,
    "register-slots-of-words": _of_words(_without_unions(_in_registers)),
    "stack-slots-of-words": _of_words(_without_unions(_trampoline)),
    "slots-of-words": _of_words(_trampoline),
    "register-slots-called": _calling(_without_unions(_in_registers)),
    "stack-slots-called": _calling(_without_unions(_trampoline)),
    "slots-called": _calling(_trampoline),
    "register-slots-modified": _modifying(_calling(_without_unions(_in_registers))),
    "stack-slots-modified": _modifying(_calling(_without_unions(_trampoline))),
    "slots-modified": _modifying(_calling(_trampoline)),
    "prototype": _prototype,
}
