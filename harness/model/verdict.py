# SPDX-License-Identifier: GPL-2.0-only
"""Prediction against observation, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.model.case import Case
from harness.model.ctype import VA_LIST, value_bytes
from harness.model.observation import Look, Observation
from harness.model.policy import Policy
from harness.model.predict import Offsets, Places, Prediction, predict, ranges


@dataclass(frozen=True)
class Verdict:
    """One cell of the table."""

    prediction: Prediction
    observation: Observation
    # By argument index: value bytes that the probed function saw changed.
    corrupt: Mapping[int, Offsets]
    # Bytes of the caller's object that lost the handler's write.
    lost: Offsets
    # What differs, in sentences; empty where all is as predicted.
    mismatches: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not self.mismatches

    @property
    def label(self) -> str:
        """The predicted classes of corruption."""
        return self.prediction.label


def places(case: Case, observation: Observation) -> Places:
    """The frame layout that a prediction needs, as it was measured."""
    pointees = {}
    va_lists = {}
    for index, placement in enumerate(case.layout.placements):
        look = observation.arguments.get(index)
        if not placement.by_reference or look is None:
            continue
        pointees[index] = look.at
        if case.arguments[index].type == VA_LIST:
            va_lists[index] = look.before or look.seen or b""
    return Places(pointees, va_lists, observation.object.at if observation.object else 0)


def _sent(case: Case, observation: Observation, index: int) -> bytes:
    look = observation.arguments[index]
    if case.arguments[index].type == VA_LIST:
        return look.before or look.seen or b""
    return case.arguments[index].value


def _changed(before: bytes, after: bytes) -> Offsets:
    return frozenset(i for i, pair in enumerate(zip(before, after)) if pair[0] != pair[1])


def _describe(offsets: Offsets) -> str:
    spans = [
        str(start) if end == start + 1 else f"{start}-{end - 1}" for start, end in ranges(offsets)
    ]
    return f"byte {', '.join(spans)}" if spans else "no byte"


def _plan_mismatches(case: Case, runs: bool, observation: Observation) -> Iterator[str]:
    """A case whose probe was not hit exactly as planned has no verdict."""
    counts = observation.counts
    planned = {
        "hits": 1,
        "handler": int(runs),
        "target": 1,
        "missed": 0,
        "skipped": int(not runs),
    }
    for name, count in planned.items():
        seen = getattr(counts, name)
        if seen != count:
            yield f"not played as planned: {name} counted {seen}, planned {count}"
    irq = case.context.value == "hardirq"
    if observation.hit.irq != irq:
        where = "an interrupt stack" if observation.hit.irq else "a task's stack"
        yield f"not played as planned: the probe was hit on {where}"
    for index in range(len(case.arguments)):
        look = observation.arguments.get(index)
        if look is None or look.seen is None:
            yield f"not played as planned: argument {index} was not looked at"
    if case.object and (observation.object is None or observation.object.seen is None):
        yield "not played as planned: the object was not looked at"


def _area_mismatches(case: Case, prediction: Prediction, observation: Observation) -> Iterator[str]:
    """The raw stack must tell what the compiled functions' own code told."""
    before, after, seen = (
        look or b"" for look in (observation.area.before, observation.area.after,
                                 observation.area.seen)
    )  # fmt: skip
    size = case.layout.stack_size
    if len(seen) != size or (prediction.runs and (len(before), len(after)) != (size, size)):
        yield f"not all {size} bytes of the argument area were looked at"
        return
    if prediction.runs and (writes := _changed(before, after)) != prediction.area_writes:
        yield (
            f"the handler wrote {_describe(writes)} of the argument area,"
            f" predicted {_describe(prediction.area_writes)}"
        )
    for index, placement in enumerate(case.layout.placements):
        if placement.stack is None or placement.by_reference:
            continue
        compiled = observation.arguments[index].seen or b""
        raw = seen[placement.stack : placement.stack + len(compiled)]
        apart = _changed(compiled, raw) & value_bytes(case.arguments[index].type)
        if apart or len(raw) != len(compiled):
            yield (
                f"argument {index} is not where {placement.rules[-1]} puts it"
                f" (SP + {placement.stack})"
            )


def _lost(case: Case, look: Look | None, runs: bool) -> Offsets:
    if not (case.object and case.handler.object and runs and look):
        return frozenset()
    return frozenset(
        i
        for i, (before, seen) in enumerate(zip(look.before or b"", look.seen or b""))
        if seen != before ^ 0xFF
    )


def judge(case: Case, policy: Policy, observation: Observation) -> Verdict:
    """
    Hold what the guest saw against what the model predicts.

    The prediction takes from the observation only the stack at the hit and the
    addresses that the compiler chose; a difference in anything else is a
    mismatch.
    """
    hit = observation.hit
    missing = [
        index
        for index, placement in enumerate(case.layout.placements)
        if placement.by_reference and index not in observation.arguments
    ]
    prediction = predict(
        case,
        policy,
        hit,
        places(case, observation) if not missing else _nowhere(case, observation),
    )
    planned = tuple(_plan_mismatches(case, prediction.runs, observation))
    if planned:
        return Verdict(prediction, observation, {}, frozenset(), planned)

    mismatches = list(_area_mismatches(case, prediction, observation))
    corrupt = {}
    for index, argument in enumerate(case.arguments):
        seen = observation.arguments[index].seen or b""
        sent = _sent(case, observation, index)
        changed = _changed(sent, seen) & value_bytes(argument.type)
        if changed:
            corrupt[index] = changed
        expected = prediction.corrupt.get(index, frozenset())
        if changed != expected:
            mismatches.append(
                f"argument {index} ({argument.type.spelling}) is corrupt in"
                f" {_describe(changed)}, predicted {_describe(expected)}"
            )
    lost = _lost(case, observation.object, prediction.runs)
    if lost != prediction.lost:
        mismatches.append(
            f"the caller's object lost {_describe(lost)}, predicted {_describe(prediction.lost)}"
        )
    window = prediction.window if prediction.runs else -1
    if observation.saved != window:
        mismatches.append(f"{observation.saved} bytes were saved, predicted {window}")
    if observation.overflow != prediction.overflow:
        mismatches.append(
            f"the save wrote {observation.overflow} bytes past its buffer,"
            f" predicted {prediction.overflow}"
        )
    if observation.new_taint:
        mismatches.append(f"the kernel gained taint {observation.new_taint:#x}")
    return Verdict(prediction, observation, corrupt, lost, tuple(mismatches))


def _nowhere(case: Case, observation: Observation) -> Places:
    """Stands in for addresses that a broken record does not tell."""
    everywhere = range(len(case.arguments))
    return Places(dict.fromkeys(everywhere, 0), dict.fromkeys(everywhere, bytes(32)))
