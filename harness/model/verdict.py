# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts, which compare a prediction with an observation byte by byte."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from harness.abi.ctype import VA_LIST
from harness.abi.offsets import NONE, Offsets, differing, ranges
from harness.model import driven
from harness.model.case import Case, Effect
from harness.model.observation import Counts, Look, Observation
from harness.model.policy import Policy, Rule
from harness.model.predict import (
    SKIPPED,
    Damage,
    MeasuredFrame,
    Prediction,
    predict,
)


@dataclass(frozen=True)
class Verdict:
    """A prediction compared with an observation: one cell of the table."""

    prediction: Prediction
    observation: Observation
    # By argument index: offsets of value bytes that the probed function saw changed.
    corrupt: Mapping[int, Offsets]
    # Offsets of bytes of the caller's object in which a legitimate write was lost.
    lost: Offsets
    # What differs, in sentences; empty where everything is as predicted.
    mismatches: tuple[str, ...]
    # False if the case was not played as planned, so that nothing was compared.
    judged: bool = True

    @property
    def agrees(self) -> bool:
        return not self.mismatches

    @property
    def label(self) -> str:
        """The predicted classes of corruption."""
        return self.prediction.label


# Used in place of a va_list that is missing from a broken record.
_NO_VA_LIST = bytes(VA_LIST.size)


def places(
    case: Case, observation: Observation, private_copies: Collection[int] = ()
) -> MeasuredFrame:
    """
    Return the measured frame layout that a prediction needs.

    An address that is missing from a broken record is 0; such a record gets no verdict.
    """
    pointees = {}
    va_lists = {}
    for index, placement in enumerate(case.layout.placements):
        if not placement.by_reference:
            continue
        look = observation.arguments.get(index, _UNSEEN)
        pointees[index] = look.at
        if case.arguments[index].type == VA_LIST:
            found = look.before or look.seen or b""
            va_lists[index] = found if len(found) == VA_LIST.size else _NO_VA_LIST
    at = observation.object.at if observation.object else 0
    return MeasuredFrame(pointees, va_lists, at, observation.node, private_copies)


_UNSEEN = Look()


def _sent(case: Case, observation: Observation, index: int) -> bytes:
    # Some bytes are known to the guest only.
    look = observation.arguments.get(index, _UNSEEN)
    return case.arguments[index].value or look.before or look.seen or b""


def _describe(offsets: Offsets) -> str:
    spans = [
        str(start) if end == start + 1 else f"{start}-{end - 1}" for start, end in ranges(offsets)
    ]
    return f"byte {', '.join(spans)}" if spans else "no byte"


_RUNS = Counts(hits=1, handler=1, target=1, missed=0, skipped=0)
_SKIPS = Counts(hits=1, handler=0, target=1, missed=0, skipped=1)


def _plan_mismatches(case: Case, runs: bool, observation: Observation) -> Iterator[str]:
    """Yield a sentence for each way in which the play was not as planned."""
    planned = _RUNS if runs else _SKIPS
    if observation.counts != planned:
        for name, count in vars(planned).items():
            seen = getattr(observation.counts, name)
            if seen != count:
                yield f"not played as planned: {name} counted {seen}, planned {count}"
    if observation.context is not case.context:
        yield f"not played as planned: the probe was hit in {observation.context.value} context"
    yield from _stack_mismatches(case, observation)
    yield from driven.missing(case, observation.driven)
    yield from _missing_looks(case, runs, observation)


def _stack_mismatches(case: Case, observation: Observation) -> Iterator[str]:
    """Yield a sentence where the hit's stack, or its depth, is not one of the case's context."""
    hit, traits = observation.hit, case.context.traits
    on_irq_stack = hit.irq if traits.on_irq_stack is None else traits.on_irq_stack
    # Up to v4.4 arm64 has no interrupt stack.
    expected = on_irq_stack and hit.irq_stack_size > 0
    if expected != hit.irq:
        where = "an interrupt stack" if hit.irq else "a task's stack"
        yield f"not played as planned: the probe was hit on {where}"
    depth = hit.top - hit.sp
    least, most = traits.least_depth, traits.most_depth
    if (least is not None and depth < least) or (most is not None and depth > most):
        yield f"not played as planned: the probe was hit {depth} bytes below the stack's top"


_BY_FUNCTION, _BY_ALL, _BY_CALLER = (False, False, True), (True, True, True), (True, False, True)


def _is_missing(look: Look | None, size: int, wanted: tuple[bool, bool, bool]) -> bool:
    """Return whether a wanted moment is missing, or any has bytes of another size."""
    if look is None:
        return True
    for data, must in zip((look.before, look.after, look.seen), wanted, strict=True):
        if (data or must) and len(data or b"") != size:
            return True
    return False


def _missing_looks(case: Case, runs: bool, observation: Observation) -> Iterator[str]:
    """Yield a sentence for each place whose bytes are missing, or were not to be recorded."""
    by_handler = _BY_ALL if runs else _BY_FUNCTION
    for index, placement in enumerate(case.layout.placements):
        look = observation.arguments.get(index)
        wanted = by_handler if placement.by_reference else _BY_FUNCTION
        if _is_missing(look, case.arguments[index].type.size, wanted):
            yield f"not played as planned: argument {index} was not recorded in full"
    for index in sorted(observation.arguments.keys() - range(len(case.arguments))):
        yield f"not played as planned: there is no argument {index}, but it was recorded"
    if _is_missing(observation.area, case.layout.stack_size, by_handler):
        yield "not played as planned: the argument area was not recorded in full"
    if case.object:
        if _is_missing(observation.object, case.object.size, _BY_ALL if runs else _BY_CALLER):
            yield "not played as planned: the object was not recorded in full"
    elif observation.object:
        yield "not played as planned: there is no object, but one was recorded"


def _write_mismatches(
    case: Case, prediction: Prediction, observation: Observation
) -> Iterator[str]:
    """Yield a sentence where the handler did not write exactly what the case asks for."""

    def differs(look: Look, predicted: Offsets, what: str) -> Iterator[str]:
        writes = differing(look.before or b"", look.after or b"")
        if writes != predicted:
            yield (
                f"the handler wrote {_describe(writes)} of {what}, predicted {_describe(predicted)}"
            )

    if not prediction.runs:
        return
    yield from differs(observation.area, prediction.area_writes, "the argument area")
    for index, predicted in prediction.copy_writes.items():
        look = observation.arguments[index]
        yield from differs(look, predicted, f"argument {index}'s copy")
    if case.object and observation.object:
        look = observation.object
        for moment, expected, found in (
            ("before", case.object.before(look.at), look.before),
            ("after", prediction.object_after, look.after),
        ):
            if found != expected:
                yield (
                    f"the caller's object held {(found or b'').hex()} {moment} it was written"
                    f" to, predicted {expected.hex()}"
                )


# Bytes that a nested call passes, which are nine words.
_NESTED_SIZE = 72
_MISSED = Counts(hits=1, handler=0, target=1, missed=1, skipped=0)


def _nested_mismatches(case: Case, runs: bool, observation: Observation) -> Iterator[str]:
    """Yield a sentence where a nested probe was not missed, or its arguments did not arrive."""
    nested = observation.nested
    if nested is None:
        if case.nested and runs:
            yield "not played as planned: the nested probe was not hit"
        return
    if not (case.nested and runs):
        yield "not played as planned: a nested probe was hit"
    elif nested.counts != _MISSED:
        yield f"the nested probe counted {nested.counts}, predicted {_MISSED}"
    elif len(nested.sent) != _NESTED_SIZE:
        yield f"the nested function's arguments were recorded with {len(nested.sent)} bytes"
    elif nested.seen != nested.sent:
        yield (
            f"the nested function's arguments are corrupt in"
            f" {_describe(differing(nested.sent, nested.seen))}"
        )


def _place_mismatches(case: Case, observation: Observation) -> Iterator[str]:
    """Yield a sentence where the raw stack differs from what the compiled function read."""
    area = observation.area.seen or b""
    for index, placement in enumerate(case.layout.placements):
        if placement.stack is None or placement.by_reference:
            continue
        compiled = observation.arguments[index].seen or b""
        raw = area[placement.stack : placement.stack + len(compiled)]
        if compiled != raw and differing(compiled, raw) & case.arguments[index].type.value_bytes:
            yield (
                f"argument {index} is not where {placement.rules[-1]} puts it"
                f" (SP + {placement.stack})"
            )


def is_about_arguments(mismatch: str) -> bool:
    """Return whether a mismatch of a verdict is about where an argument was, or what of it was."""
    return "argument " in mismatch


def _stacked(case: Case, area: bytes | None, index: int) -> bytes | None:
    """Return an argument's bytes in the argument area, or None where it lies elsewhere."""
    placement = case.layout.placements[index]
    if not area or placement.stack is None or placement.by_reference:
        return None
    return area[placement.stack : placement.stack + case.arguments[index].type.size]


def _handed_mismatches(case: Case, observation: Observation) -> Iterator[str]:
    """Yield a sentence for each argument that the handler did not find as it was passed."""
    for index, argument in enumerate(case.arguments):
        stacked = _stacked(case, observation.area.before, index)
        found = observation.arguments[index].before or stacked
        if found is None or found == argument.value or not argument.value:
            continue
        changed = differing(argument.value, found) & argument.type.value_bytes
        if changed:
            yield f"the handler found argument {index} corrupt in {_describe(changed)}"


def _lost(look: Look | None, runs: bool) -> Offsets:
    """Return the offsets of bytes of the object in which the last write was lost."""
    if look is None:
        return NONE
    return differing((look.after if runs else look.before) or b"", look.seen or b"")


def _corrupt(case: Case, observation: Observation) -> dict[int, Offsets]:
    """Return, by argument index, the value bytes that the probed function saw changed."""
    corrupt = {}
    shared = case.object.argument if case.object else None
    for index, argument in enumerate(case.arguments):
        if index == shared:
            # It is judged as the object that it is.
            continue
        seen = observation.arguments.get(index, _UNSEEN).seen or b""
        if seen == argument.value:
            continue
        sent = _sent(case, observation, index)
        if len(sent) == len(seen):
            changed = differing(sent, seen) & argument.type.value_bytes
            if changed:
                corrupt[index] = changed
    return corrupt


def _as_seen(case: Case, observation: Observation, where: MeasuredFrame) -> Prediction:
    """Return the prediction that fits the observation, for a kernel whose policy is unknown."""
    if not observation.counts.handler:
        return SKIPPED
    # What the handler writes is the same under every policy.
    prediction = predict(case, Policy(Rule.NONE), observation.hit, where)
    corrupt = _corrupt(case, observation)
    lost = _lost(observation.object, runs=True)
    damage = {
        Damage.BY_REF if case.layout.placements[index].by_reference else Damage.LEAK
        for index in corrupt
    }
    if lost:
        damage.add(Damage.ROLLBACK)
    if case.nested:
        damage.add(Damage.MISSED)
    return replace(prediction, corrupt=corrupt, lost=lost, damage=frozenset(damage))


def judge(
    case: Case, policy: Policy, observation: Observation, private_copies: Collection[int] = ()
) -> Verdict:
    """
    Compare what the guest observed with what the model predicts.

    The prediction takes from the observation only the stack at the hit and the
    addresses that the compiler chose; a difference in anything else is a
    mismatch.  For Rule.KERNEL nothing is predicted, and a mismatch is something
    that no policy explains.  `private_copies` is as in MeasuredFrame.
    """
    where = places(case, observation, private_copies)
    if policy.rule is Rule.KERNEL:
        prediction = _as_seen(case, observation, where)
    else:
        prediction = predict(case, policy, observation.hit, where)
    planned = tuple(_plan_mismatches(case, prediction.runs, observation))
    if planned:
        return Verdict(prediction, observation, {}, NONE, planned, judged=False)

    mismatches = [
        *_handed_mismatches(case, observation),
        *_write_mismatches(case, prediction, observation),
        *_place_mismatches(case, observation),
        *_nested_mismatches(case, prediction.runs, observation),
    ]
    corrupt = _corrupt(case, observation)
    for index in sorted({*corrupt, *prediction.corrupt}):
        seen = observation.arguments[index].seen or b""
        changed = corrupt.get(index, NONE)
        if changed:
            left = observation.arguments[index].after
            left = left or _stacked(case, observation.area.after, index)
            if left and any(seen[offset] != left[offset] for offset in changed):
                mismatches.append(f"argument {index} holds bytes that no handler wrote")
        expected = prediction.corrupt.get(index, NONE)
        if changed != expected:
            mismatches.append(
                f"argument {index} ({case.arguments[index].type.spelling}) is corrupt in"
                f" {_describe(changed)}, predicted {_describe(expected)}"
            )
    lost = _lost(observation.object, prediction.runs)
    if lost != prediction.lost:
        mismatches.append(
            f"the caller's object lost {_describe(lost)}, predicted {_describe(prediction.lost)}"
        )
    if looked := observation.object:
        # A restore puts back the bytes that were there at the hit.
        before, seen = looked.before or b"", looked.seen or b""
        if any(seen[offset] != before[offset] for offset in lost):
            mismatches.append("the caller's object holds bytes that were never written to it")
    window = prediction.window if prediction.runs else -1
    if observation.saved not in (None, window):
        mismatches.append(f"{observation.saved} bytes were saved, predicted {window}")
    if observation.overflow not in (None, prediction.overflow):
        mismatches.append(
            f"the save wrote {observation.overflow} bytes past its buffer,"
            f" predicted {prediction.overflow}"
        )
    if observation.stray:
        mismatches.append(f"the caller's frame changed in {_describe(observation.stray)} from SP")
    effect = driven.noticed(case, prediction)
    if case.real and observation.driven:
        mismatches += driven.mismatches(case.real, observation.driven, effect)
    if observation.new_taint != (driven.OOPSED if effect is Effect.OOPS else 0):
        mismatches.append(f"the kernel gained taint {observation.new_taint:#x}")
    return Verdict(prediction, observation, corrupt, lost, tuple(mismatches))
