# SPDX-License-Identifier: GPL-2.0-only
"""
A case as data: the caller's frame and registers, placed by the model alone.

kernel-modules/probe-targets/assembled.c plays it with a caller and a probed
function in assembly, so no compiler decides where an argument lies, and a
guest can play any number of cases that were never compiled.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from harness.abi.aapcs64 import GENERAL_REGISTERS, Placement
from harness.abi.ctype import align_up
from harness.abi.descriptor import descriptor
from harness.abi.offsets import NONE, Offsets, differing
from harness.model.case import Agent, Case
from harness.model.context import Context
from harness.model.observation import CallerFrame, Look, Observation

RECORD_SIZE = 16
# The largest gap between two things in a frame, in bytes.
GAP_MAX = 256


@dataclass(frozen=True)
class FrameImage:
    """What the caller sets up; all offsets are in bytes from SP at the call."""

    case: Case
    # x0-x7, little-endian; by-reference addresses are filled in by the guest.
    registers: bytes
    frame: bytes
    # Offset of the frame record that FP points at, or None if FP points at no record.
    record: int | None
    # By argument index: the offset of a by-reference argument's copy.
    copies: Mapping[int, int]
    # Offset of the caller's object, None where the case has none.
    object: int | None

    @functools.cached_property
    def owned(self) -> Offsets:
        """The offsets in `frame` of bytes that may be written to, or that the guest fills in."""
        case = self.case
        bits = (1 << case.layout.stack_size) - 1
        for index, offset in self.copies.items():
            bits |= (1 << case.arguments[index].type.size) - 1 << offset
        if case.object and self.object is not None:
            bits |= (1 << case.object.size) - 1 << self.object
        if self.record is not None:
            bits |= (1 << RECORD_SIZE) - 1 << self.record
        return Offsets.of(bits)

    @functools.cached_property
    def data(self) -> str:
        """The image as probe_assembled_parse() reads it."""
        record = -1 if self.record is None else self.record
        context = list(Context).index(self.case.context)
        words = [str(context), str(record), self.registers.hex(), self.frame.hex()]
        parts = (f"={part}" for part in descriptor(self.case.types[: self.case.named]))
        return " ".join([*words, *_items(self), *parts])


def _place(placement: Placement) -> str:
    """Return where an argument, or the address of its copy, is passed: "x3" or "s16"."""
    if placement.stack is None:
        return f"x{placement.general[0]}"
    return f"s{placement.stack}"


def _items(image: FrameImage) -> Iterator[str]:
    case = image.case
    placements = case.layout.placements
    for index, offset in image.copies.items():
        yield f"{_place(placements[index])}>{offset}"
    for index in case.handler.assign:
        size = case.arguments[index].type.size
        if placements[index].by_reference:
            yield f"*{_place(placements[index])}:{size}"
        elif placements[index].stack is not None:
            yield f"{_place(placements[index])}:{size}"
    if case.handler.overwrite:
        yield f"s0:{case.handler.overwrite}"
    if case.object and case.object.writer:
        writer = list(Agent).index(case.object.writer)
        yield f"o{image.object}:{case.object.size}:{writer}"


def assemble(case: Case, random: Random) -> FrameImage:
    """
    Lay out a frame for `case` and return it.

    The argument area comes first, then in random order the frame record, the
    by-reference copies and the object, with gaps between them.  All bytes that
    belong to none of these are random.
    """
    things: list[tuple[str, int, int]] = [
        ("copy", index, case.arguments[index].type.size)
        for index, placement in enumerate(case.layout.placements)
        if placement.by_reference
    ]
    if case.valid_fp:
        things.append(("record", 0, RECORD_SIZE))
    if case.object:
        things.append(("object", 0, case.object.size))
    random.shuffle(things)
    spare = case.context.traits.frame_max
    spare -= case.layout.stack_size + sum(align_up(size, 16) + 16 for _, _, size in things)
    places: dict[tuple[str, int], int] = {}
    cursor = align_up(case.layout.stack_size, 16)
    for kind, index, size in things:
        gap = random.choice((0, 16 * random.randrange(GAP_MAX // 16)))
        if gap <= spare:
            cursor, spare = cursor + gap, spare - gap
        places[kind, index] = cursor
        cursor = align_up(cursor + size, 16)
    copies = {index: place for (kind, index), place in places.items() if kind == "copy"}

    frame = bytearray(random.randbytes(cursor))
    registers = bytearray(random.randbytes(8 * GENERAL_REGISTERS))
    for index, (argument, placement) in enumerate(zip(case.arguments, case.layout.placements)):
        value = argument.value
        if placement.by_reference:
            frame[copies[index] : copies[index] + len(value)] = value
        elif placement.stack is not None:
            frame[placement.stack : placement.stack + len(value)] = value
        else:
            start = 8 * placement.general[0]
            registers[start : start + len(value)] = value
    object_at = places.get(("object", 0))
    if case.object and object_at is not None:
        frame[object_at : object_at + case.object.size] = case.object.before(0)
    return FrameImage(
        case, bytes(registers), bytes(frame), places.get(("record", 0)), copies, object_at
    )


def observe(image: FrameImage, raw: Observation) -> Observation:
    """
    Return a raw observation with what its frame shows of the arguments and the object.

    The result has no frame where the record's frame is missing or has another size than
    the image's.
    """
    case, frame = image.case, raw.frame
    if frame is None or not _is_whole(image, frame):
        return dataclasses.replace(raw, frame=None)

    def copy(placement: Placement, size: int) -> Look:
        """Return a by-reference copy, at the addresses that handler and function were passed."""
        passed_at = _address(placement, frame.passed, frame.before) - raw.hit.sp
        seen_at = _address(placement, frame.arrived, frame.seen)
        return Look(
            seen_at,
            _slice(frame.before, passed_at, size),
            _slice(frame.after, passed_at, size),
            _slice(frame.seen, seen_at - raw.hit.sp, size),
        )

    arguments = {}
    for index, (argument, placement) in enumerate(zip(case.arguments, case.layout.placements)):
        size = argument.type.size
        if placement.by_reference:
            arguments[index] = copy(placement, size)
        else:
            arguments[index] = Look(
                0,
                before=_passed(placement, size, frame.passed, frame.before),
                seen=_passed(placement, size, frame.arrived, frame.seen),
            )
    looked = None
    if case.object and image.object is not None:
        at, size = image.object, case.object.size
        looked = Look(
            raw.hit.sp + at,
            # Without a handler that looked at it, the object is as the caller made it.
            _slice(frame.before, at, size) or case.object.before(at),
            _slice(frame.after, at, size),
            _slice(frame.seen, at, size),
        )
    area = case.layout.stack_size
    return dataclasses.replace(
        raw,
        area=Look(
            0,
            _slice(frame.before, 0, area) or b"",
            _slice(frame.after, 0, area) or b"",
            _slice(frame.seen, 0, area) or b"",
        ),
        arguments=arguments,
        object=looked,
        stray=_stray(image, frame),
    )


def _is_whole(image: FrameImage, frame: CallerFrame) -> bool:
    """Return whether registers and frame have the same size as in the image."""
    registers, stack = len(image.registers), len(image.frame)
    return all(
        data is None or len(data) == size
        for size, moments in (
            (registers, (frame.passed, frame.arrived)),
            (stack, (frame.before, frame.after, frame.seen)),
        )
        for data in moments
    )


def _slice(data: bytes | None, start: int, size: int) -> bytes | None:
    """Return bytes of a frame, or None where they lie outside of it."""
    return data[start : start + size] if data and 0 <= start <= len(data) - size else None


def _address(placement: Placement, registers: bytes | None, frame: bytes | None) -> int:
    return int.from_bytes(_passed(placement, 8, registers, frame) or b"", "little")


def _passed(
    placement: Placement, size: int, registers: bytes | None, frame: bytes | None
) -> bytes | None:
    """Return the bytes that a function finds where an argument is passed, or None."""
    if placement.stack is not None:
        return frame[placement.stack : placement.stack + size] if frame else None
    start = 8 * placement.general[0]
    return registers[start : start + size] if registers else None


def _stray(image: FrameImage, frame: CallerFrame) -> Offsets:
    """Return the offsets of bytes that changed although nothing in the frame owns them."""
    found = NONE
    for data in (frame.before, frame.after, frame.seen):
        if data:
            found |= differing(data, image.frame) - image.owned
    if image.record is not None and frame.before and frame.seen:
        record = slice(image.record, image.record + RECORD_SIZE)
        changed = differing(frame.before[record], frame.seen[record])
        found |= changed.moved(image.record)
    return found
