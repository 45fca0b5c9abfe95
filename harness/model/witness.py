# SPDX-License-Identifier: GPL-2.0-only
"""The witness: what a debugger saw of a play, compared with the guest's own record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.abi.aapcs64 import GENERAL_REGISTERS, Placement
from harness.abi.ctype import align_up
from harness.abi.offsets import ranges
from harness.model.case import Case
from harness.model.observation import Look, Observation


@dataclass(frozen=True)
class Copy:
    """A by-reference argument's bytes, at the address that the caller passes."""

    at: int
    before: bytes
    after: bytes


@dataclass(frozen=True)
class Sighting:
    """What the debugger read at a probed function's entry, before and after the handler."""

    sp: int
    fp: int
    # First address above the stack.
    top: int
    # x0-x7.
    registers_before: tuple[int, ...]
    registers_after: tuple[int, ...]
    # Bytes from SP to the stack's top.
    stack_before: bytes
    stack_after: bytes
    # By argument index.
    copies: Mapping[int, Copy]


def stack_top(sp: int, stack_size: int) -> int:
    """Return the end of the stack that SP lies on; stacks are aligned to their size."""
    return align_up(sp + 1, stack_size)


def copy_address(placement: Placement, registers: tuple[int, ...], stack: bytes) -> int:
    """Return the address that is passed for a by-reference argument (rule B.4)."""
    if placement.stack is None:
        return registers[placement.general[0]]
    return int.from_bytes(stack[placement.stack : placement.stack + 8], "little")


def disagreements(
    case: Case, observation: Observation, sighting: Sighting | None
) -> tuple[str, ...]:
    """
    Return, in sentences, where a debugger and the guest differ.

    Every byte that the guest recorded must be the one that the debugger read, and no
    other byte of the stack above SP may have changed.
    """
    if sighting is None:
        return ("the witness never saw the probed function's entry",)
    return tuple(_disagreements(case, observation, sighting))


def _disagreements(case: Case, observation: Observation, sighting: Sighting) -> Iterator[str]:
    hit = observation.hit
    for name, seen, recorded in (
        ("SP", sighting.sp, hit.sp),
        ("FP", sighting.fp, hit.fp),
        ("the stack's top", sighting.top, hit.top),
    ):
        if seen != recorded:
            yield f"{name} was {seen:#x}, the guest recorded {recorded:#x}"
    for number in range(GENERAL_REGISTERS):
        passed, arrived = sighting.registers_before[number], sighting.registers_after[number]
        if passed != arrived:
            yield f"x{number} was {passed:#x} before the handler and {arrived:#x} after it"

    covered: set[int] = set()
    for what, start, look in _looks(case, observation):
        at = start - sighting.sp
        size = len(look.seen or b"")
        inside = 0 <= at <= len(sighting.stack_before) - size
        if inside:
            before = sighting.stack_before[at : at + size]
            after = sighting.stack_after[at : at + size]
            covered.update(range(at, at + size))
        else:
            found = [copy for copy in sighting.copies.values() if copy.at == start]
            if not found:
                yield f"{what} is not at {start:#x}"
                continue
            before, after = found[0].before, found[0].after
        # A handler that did not run recorded nothing, so nothing may have changed.
        yield from _difference(f"{what} before the handler", before, look.before or look.seen)
        yield from _difference(f"{what} after it", after, look.seen)
    for index, copy in sighting.copies.items():
        recorded = observation.arguments[index].at
        if copy.at != recorded:
            yield f"argument {index} is passed as {copy.at:#x}, the guest recorded {recorded:#x}"

    pairs = zip(sighting.stack_before, sighting.stack_after)
    changed = {offset for offset, pair in enumerate(pairs) if pair[0] != pair[1]}
    for start, end in ranges(changed - covered):
        yield f"the stack changed at SP + {start} to {end - 1}, which the guest did not record"


def _looks(case: Case, observation: Observation) -> Iterator[tuple[str, int, Look]]:
    """Yield the name, the address and the bytes of each place that the guest recorded."""
    yield "the argument area", observation.hit.sp, observation.area
    for index, placement in enumerate(case.layout.placements):
        look = observation.arguments.get(index)
        if placement.by_reference and look:
            yield f"argument {index}'s copy", look.at, look
    if observation.object:
        yield "the caller's object", observation.object.at, observation.object


def _difference(what: str, seen: bytes, recorded: bytes | None) -> Iterator[str]:
    differing = [i for i, pair in enumerate(zip(seen, recorded or b"")) if pair[0] != pair[1]]
    spans = ", ".join(f"{start} to {end - 1}" for start, end in ranges(differing))
    if spans:
        yield f"{what} differs from the guest's record in byte {spans}"
