# SPDX-License-Identifier: GPL-2.0-only
"""One cell of the table of tracers: what one made of a call, held against its rule."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from harness.abi.ctype import VA_LIST, CType
from harness.abi.offsets import NONE, Offsets, differing, ranges
from harness.model.case import Case
from harness.model.observation import Look, Observation
from harness.tracers.reading import Read, Reading

_WORD = 8
_UNSEEN = Look()


@dataclass(frozen=True)
class Seen:
    """What a tracer was seen to make of a function."""

    # What it read of each argument, lowest byte first, None for nothing; empty where it was refused
    # or has read nothing at all.
    values: tuple[bytes | None, ...] = ()
    # The error and the kernel's own words.
    refused: str = ""


@dataclass(frozen=True)
class Passed:
    """An argument as the caller passed it."""

    type: CType
    # As long as the type.
    value: bytes
    # Of the copy that the caller made of it, None for one that is not by reference.
    at: int | None
    # As the tracer finds it, where a jprobe has run before; None: as it was passed.
    met: bytes | None = None

    @property
    def found(self) -> bytes:
        """The argument as the tracer finds it."""
        return self.value if self.met is None else self.met


class Status(enum.Enum):
    """How a cell compares with its rule."""

    AGREES = "as predicted"
    DIFFERS = "not as predicted"
    # The kernel is newer than all that the rule was held against.
    UNPREDICTED = "not predicted"


@dataclass(frozen=True)
class Cell:
    """A tracer on the function of a case."""

    tracer: str
    case: Case
    predicted: Reading | None
    seen: Seen
    # The variant of a jprobe on the same function, empty without one.
    variant: str = ""
    # What that jprobe is predicted to leave changed.
    beside: Mapping[int, Offsets] = field(default_factory=dict)
    passed: tuple[Passed, ...] = ()
    # The bytes that the function saw changed, by argument.
    left: Mapping[int, Offsets] = field(default_factory=dict)
    # What the function saw of each argument.
    arrived: tuple[bytes, ...] = ()
    # Whether the function ran.
    called: bool = True
    # Where a witness saw other arguments than the function recorded; None without a witness.
    witness: tuple[str, ...] | None = None
    # What kept the call from being judged: the kernel died, or a play was not as planned.
    errors: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[Read, ...]:
        """What each argument was read as."""
        if self.seen.refused or self.errors:
            return ()
        predicted = self.predicted.reads if self.predicted else ()
        values = self.seen.values or (None,) * len(self.passed)
        return tuple(
            predicted[index]
            if index < len(predicted) and is_read_as(predicted[index], passed, values[index])
            else read_as(passed, values[index])
            for index, passed in enumerate(self.passed)
        )

    @property
    def status(self) -> Status:
        """How it compares."""
        if not (self.errors or self.witness) and self.predicted is None:
            return Status.UNPREDICTED
        return Status.DIFFERS if self.mismatches else Status.AGREES

    @property
    def mismatches(self) -> tuple[str, ...]:
        """What is not as predicted, in sentences."""
        witness = (f"the witness disagrees: {sentence}" for sentence in self.witness or ())
        return self.errors or (*self._mismatches(), *witness)

    def _mismatches(self) -> Iterator[str]:
        predicted = self.predicted
        if predicted is None:
            return
        refused = bool(self.seen.refused or predicted.refused)
        if self.seen.refused and not predicted.refused:
            yield f"it was refused: {self.seen.refused}"
        elif predicted.refused and not self.seen.refused:
            right = set(self.reads) <= {Read.RIGHT} and self.called and not self.left
            better = ", better than predicted" if right else ""
            yield f"it was not refused, predicted a refusal ({predicted.refused}){better}"
        # What is refused has to leave the function alone.
        yield from self._differences(Reading() if refused else predicted)

    def _differences(self, predicted: Reading) -> Iterator[str]:
        if self.passed and not (self.seen.refused or self.seen.values):
            yield "it did not see the call"
            return
        for index, (read, expected) in enumerate(zip(self.reads, predicted.reads)):
            if read is not expected:
                better = ", better than predicted" if read is Read.RIGHT else ""
                found = f"was read as {read.value}, predicted {expected.value}{better}"
                yield f"argument {index} {found}"
        if self.called != predicted.called:
            yield "the function was called" if self.called else "the function was not called"
        yield from self._changes(predicted)

    def _changes(self, predicted: Reading) -> Iterator[str]:
        if not self.called:
            return
        for index in _comparable(self.case):
            found = self.left.get(index, NONE)
            lost = predicted.corrupts.get(index, NONE)
            beside = self.beside.get(index, NONE)
            if found - lost != beside - lost:
                yield f"the function saw argument {index} changed in {described(found)}"
            elif lost and not found & lost:
                yield f"the function saw argument {index} as it was passed, better than predicted"


def described(offsets: Offsets) -> str:
    """Return offsets in words: "byte 0-7"."""
    spans = (
        f"{start}-{end - 1}" if end > start + 1 else f"{start}" for start, end in ranges(offsets)
    )
    return f"byte {', '.join(spans)}" if offsets else "no byte"


def passed(case: Case, observation: Observation) -> Iterator[Passed]:
    """Yield each named argument as the caller passed it."""
    for index, argument in enumerate(case.arguments[: case.named]):
        look = observation.arguments.get(index, _UNSEEN)
        by_reference = case.layout.placements[index].by_reference
        if argument.boxed:
            yield Passed(argument.passed, look.at.to_bytes(_WORD, "little"), None)
        else:
            # The bytes of a va_list are known to the function alone.
            value = argument.value or look.before or look.seen or bytes(VA_LIST.size)
            yield Passed(argument.type, value, look.at if by_reference else None)


def either(case: Case, passed: Passed, index: int, value: bytes | None) -> Passed:
    """
    Return a by-reference argument as it was read, where each byte is as passed or inverted.

    Where the function is called anew, what a jprobe has left of the first copy is not on record.
    """
    size, mask = passed.type.size, case.arguments[index].flip_mask
    if passed.at is None or value is None or len(value) != size:
        return passed
    pairs = zip(passed.value, value)
    known = all(read in (octet, octet ^ mask) for octet, read in pairs)
    return replace(passed, met=value) if known else passed


def _comparable(case: Case) -> Iterator[int]:
    """Yield the arguments that only a handler or a tracer changes, and whose bytes are known."""
    written = case.object.argument if case.object else None
    for index, argument in enumerate(case.arguments):
        if argument.value and index != written:
            yield index


def met(case: Case, passed: Passed, index: int, changed: Offsets) -> Passed:
    """Return an argument as who comes after a jprobe finds it, which has inverted some bytes."""
    if not changed or case.arguments[index].boxed:
        # Of a box, tracers read the pointer in it.
        return passed
    mask = case.arguments[index].flip_mask
    value = bytes(octet ^ mask if at in changed else octet for at, octet in enumerate(passed.value))
    return replace(passed, met=value)


def changed(case: Case, observation: Observation) -> dict[int, Offsets]:
    """Return the bytes that the function saw changed, by argument, variadic ones too."""
    found = {}
    for index, argument in enumerate(case.arguments):
        seen = observation.arguments.get(index, _UNSEEN).seen
        if seen is not None and argument.value:
            offsets = differing(argument.value, seen) & argument.type.value_bytes
            if offsets:
                found[index] = offsets
    return found


def is_read_as(read: Read, passed: Passed, value: bytes | None) -> bool:
    """Return whether what was read is one of a kind, which may be of another kind as well."""
    if value is None:
        return read is Read.ABSENT
    match read:
        case Read.RIGHT:
            return len(value) >= passed.type.size and _same(passed, value)
        case Read.TRUNCATED:
            return len(value) < passed.type.size and _same(passed, value)
        case Read.ADDRESS:
            return passed.at is not None and _number(value[:_WORD]) == passed.at
        case Read.ZERO:
            return not any(value[: passed.type.size])
        case Read.ANOTHER:
            return not _same(passed, value)
        case _:
            return False


def read_as(passed: Passed, value: bytes | None) -> Read:
    """Return what kind of value was read."""
    order = (Read.ABSENT, Read.RIGHT, Read.TRUNCATED, Read.ADDRESS, Read.ZERO)
    return next((read for read in order if is_read_as(read, passed, value)), Read.ANOTHER)


def _same(passed: Passed, value: bytes) -> bool:
    """Return whether all bytes that were read are as they were passed, padding aside."""
    size = min(passed.type.size, len(value))
    offsets = differing(passed.found[:size], value[:size])
    return not offsets & passed.type.value_bytes


def _number(octets: bytes) -> int:
    return int.from_bytes(octets, "little")
