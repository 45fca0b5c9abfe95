# SPDX-License-Identifier: GPL-2.0-only
"""Which bytes a policy leaves corrupt in a case, computed before the run."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness.abi.ctype import POINTER
from harness.abi.offsets import NONE, Offsets, differing, ranges
from harness.model.case import Case
from harness.model.policy import Hit, Policy, Span, save, size_of


class Damage(enum.Enum):
    """The classes of corruption."""

    # A handler's write to the argument area survives.
    LEAK = "leak"
    # A handler's write through a by-reference argument survives.
    BY_REF = "by-ref"
    # The restore destroys a legitimate write.
    ROLLBACK = "rollback"
    # The save writes past its buffer.
    OVERFLOW = "overflow"
    # The handler never ran.
    SKIPPED = "skipped"
    # The handler of a nested probe never ran.
    MISSED = "missed"


@dataclass(frozen=True)
class MeasuredFrame:
    """
    The compiler's frame layout, which a prediction cannot know, as it was measured.

    The addresses are the guest's; the bytes of a va_list are those that the
    handler found.
    """

    # By argument index: the address of a by-reference argument's copy.
    pointees: Mapping[int, int]
    # By argument index: the content of a va_list before the handler.
    va_lists: Mapping[int, bytes]
    # The address of the caller's object, 0 where the case has none.
    object: int = 0
    # The address of the entry that is added to an object that is a list.
    node: int = 0
    # Stacked arguments that the handler reads and writes in a copy in its own frame, because
    # the compiler chose so; an assignment to one has no effect outside of the handler.
    private_copies: Collection[int] = ()


@dataclass(frozen=True)
class Prediction:
    """The effects of a policy on a case."""

    # False if the policy skips the handler.
    runs: bool
    # What is copied at the hit, and later put back; empty if the handler is skipped.
    saved: tuple[Span, ...]
    # Bytes written past the save buffer.
    overflow: int
    # Offsets of bytes in the argument area that the handler writes to.
    area_writes: Offsets
    # By argument index: offsets of bytes that it writes to in a by-reference argument's copy.
    copy_writes: Mapping[int, Offsets]
    # By argument index: offsets of value bytes that the probed function sees changed;
    # arguments that stay intact are left out.
    corrupt: Mapping[int, Offsets]
    # What is written to the caller's object while the handler runs.
    object_after: bytes
    # Offsets of bytes of the caller's object in which that write is lost.
    lost: Offsets
    # Stacked arguments that the handler assigns to only in a copy in its own frame.
    private_copies: frozenset[int]
    damage: frozenset[Damage]

    @property
    def window(self) -> int:
        """The number of bytes that are copied."""
        return size_of(self.saved)

    @property
    def label(self) -> str:
        """The classes of corruption joined by "+", or "intact"."""
        return "+".join(sorted(damage.value for damage in self.damage)) or "intact"


SKIPPED = Prediction(
    runs=False,
    saved=(),
    overflow=0,
    area_writes=NONE,
    copy_writes={},
    corrupt={},
    object_after=b"",
    lost=NONE,
    private_copies=frozenset(),
    damage=frozenset({Damage.SKIPPED}),
)


def spans(offsets: Iterable[int]) -> list[list[int]]:
    """Return offsets as half-open ranges, as JSON has them."""
    return [[start, end] for start, end in ranges(offsets)]


def described(sizes: Mapping[str, int]) -> str:
    """Return corruption in a few words, such as "leak 8", from its bytes by class."""
    words = [f"{name} {size}" if size else name for name, size in sizes.items()]
    return " ".join(words) or "intact"


def consumed(va_list: bytes, words: int) -> bytes:
    """
    Return a va_list's bytes after `words` long arguments were read from it.

    The algorithm is that of AAPCS64 section 10.1.5, "the va_arg() macro": from
    the saved registers while __gr_offs is negative, then from __stack.
    """
    stack = int.from_bytes(va_list[0:8], "little")
    offset = int.from_bytes(va_list[24:28], "little", signed=True)
    for _ in range(words):
        if offset < 0:
            offset += 8
        else:
            stack += 8
    return (
        stack.to_bytes(8, "little")
        + va_list[8:24]
        + offset.to_bytes(4, "little", signed=True)
        + va_list[28:32]
    )


def _storage(case: Case, hit: Hit, places: MeasuredFrame, index: int) -> int | None:
    """Return the address of an argument's bytes, or None where they are in registers."""
    placement = case.layout.placements[index]
    if placement.by_reference:
        return places.pointees[index]
    return None if placement.stack is None else hit.sp + placement.stack


def _named(case: Case, hit: Hit, places: MeasuredFrame) -> Iterator[Span]:
    """
    Yield where the named arguments lie in memory, and the addresses of by-reference ones.

    A type's size is what counts, not that of the slots it takes (rules B.5 and C.16).
    """
    for index, argument in enumerate(case.arguments[: case.named]):
        placement = case.layout.placements[index]
        if placement.stack is not None:
            slot = hit.sp + placement.stack
            yield slot, slot + (POINTER.size if placement.by_reference else argument.type.size)
        # What a pointer points at is nobody's argument.
        if placement.by_reference and not argument.boxed:
            yield places.pointees[index], places.pointees[index] + argument.type.size


def _writes(case: Case, hit: Hit, places: MeasuredFrame) -> Iterator[tuple[int, Offsets]]:
    """Yield where the handler writes to, without the object: an address, and offsets from it."""
    handler = case.handler
    for index in handler.assign:
        if index in places.private_copies:
            continue
        start = _storage(case, hit, places, index)
        if start is not None:
            yield start, Offsets.span(0, case.arguments[index].type.size)
    if handler.overwrite:
        yield hit.sp, Offsets.span(0, handler.overwrite)
    if handler.consume:
        index = handler.consume.argument
        before = places.va_lists[index]
        yield places.pointees[index], differing(before, consumed(before, handler.consume.words))


def _object_write(case: Case, places: MeasuredFrame) -> tuple[bytes, Offsets]:
    """Return the object's bytes after the write to it, and the offsets that the write changes."""
    if case.object is None:
        return b"", NONE
    before = case.object.before(places.object)
    if case.object.writer is None:
        return before, NONE
    after = case.object.after(places.object, places.node)
    return after, differing(before, after)


def predict(case: Case, policy: Policy, hit: Hit, places: MeasuredFrame) -> Prediction:
    """Return the prediction for a play of `case` under `policy`, from the stack at the hit."""
    saved = save(policy, hit, _named(case, hit, places))
    if saved is None:
        return SKIPPED

    writes = list(_writes(case, hit, places))
    object_after, changed = _object_write(case, places)
    shared = case.object.argument if case.object else None
    if shared is not None:
        writes.append((places.object, changed))

    def written(start: int, size: int) -> Offsets:
        """Return the offsets from `start` that the handler writes to."""
        bits = 0
        for at, offsets in writes:
            if at < start + size and start - at < offsets.bits.bit_length():
                bits |= offsets.bits << at - start if at >= start else offsets.bits >> start - at
        return Offsets.of(bits & (1 << size) - 1)

    def restored(start: int, size: int) -> Offsets:
        """Return the offsets from `start` that are put back after the handler."""
        bits = 0
        for first, end in saved.spans:
            if first < start + size and end > start:
                bits |= (1 << min(end - start, size)) - (1 << max(first - start, 0))
        return Offsets.of(bits)

    corrupt = {}
    copy_writes = {}
    damage = set()
    for index, argument in enumerate(case.arguments):
        start = _storage(case, hit, places, index)
        if start is None:
            continue
        size = argument.type.size
        writes_here = written(start, size)
        by_reference = case.layout.placements[index].by_reference
        if by_reference:
            copy_writes[index] = writes_here
        if index == shared:
            # Whoever writes to it meanwhile may do so.
            continue
        left = (writes_here - restored(start, size)) & argument.type.value_bytes
        if left:
            corrupt[index] = left
            damage.add(Damage.BY_REF if by_reference else Damage.LEAK)

    lost = changed & restored(places.object, len(object_after))
    if lost:
        damage.add(Damage.ROLLBACK)
    if saved.overflow:
        damage.add(Damage.OVERFLOW)
    if case.nested:
        damage.add(Damage.MISSED)
    return Prediction(
        runs=True,
        saved=saved.spans,
        overflow=saved.overflow,
        area_writes=written(hit.sp, case.layout.stack_size),
        copy_writes=copy_writes,
        corrupt=corrupt,
        object_after=object_after,
        lost=lost,
        private_copies=frozenset(places.private_copies),
        damage=frozenset(damage),
    )
