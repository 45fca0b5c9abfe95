# SPDX-License-Identifier: GPL-2.0-only
"""A call of a function of the kernel's own, which a program in the guest's user space leads to."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator

from harness.abi.aapcs64 import GENERAL_REGISTERS, Placement
from harness.model.assumed import RecordPosition, predict_assumed
from harness.model.case import Case, Effect, Real
from harness.model.observation import Driven, Look, Observation
from harness.model.policy import Policy
from harness.model.predict import Prediction

_WORD = 8
# A task that dies of an oops is ended by this signal.
KILLED = signal.SIGSEGV
# TAINT_DIE, of include/linux/panic.h.
OOPSED = 1 << 7


def noticed(case: Case, prediction: Prediction) -> Effect:
    """Return what user space notices, by prediction."""
    return case.real.effect if case.real and prediction.corrupt else Effect.NONE


def foreseen(case: Case, policy: Policy) -> set[Effect]:
    """Return what user space may notice in whichever frame a call is made."""
    return {noticed(case, predict_assumed(case, policy, frame)) for frame in RecordPosition}


def killed(observation: Observation) -> bool:
    """Return whether the program was killed, maybe in the kernel with what it held there."""
    return observation.driven is not None and observation.driven.signal == KILLED


def observe(case: Case, raw: Observation) -> Observation:
    """
    Return the observation with each argument where AAPCS64 has it.

    Of arguments by reference, the guest has recorded the bytes.
    """
    driven = raw.driven
    if case.real is None or driven is None:
        return raw
    arguments = dict(raw.arguments)
    for index, (argument, placement) in enumerate(zip(case.arguments, case.layout.placements)):
        if placement.by_reference:
            continue
        size = argument.type.size
        arguments[index] = Look(
            before=_found(placement, size, driven.passed, raw.area.before),
            seen=_found(placement, size, driven.arrived, raw.area.seen),
        )
    return dataclasses.replace(raw, arguments=arguments)


def _found(
    placement: Placement, size: int, registers: bytes | None, area: bytes | None
) -> bytes | None:
    """Return the bytes of an argument that is passed in registers or on the stack."""
    if placement.stack is not None:
        return area[placement.stack : placement.stack + size] if area else None
    if not registers:
        return None
    words = (registers[_WORD * number :][:_WORD] for number in placement.general)
    return b"".join(words)[:size]


def missing(case: Case, driven: Driven | None) -> Iterator[str]:
    """Yield a sentence where the call was not recorded, or none was to be."""
    if not case.real:
        if driven:
            yield "not played as planned: a function of the kernel's own was called"
        return
    size = GENERAL_REGISTERS * _WORD
    if driven is None or len(driven.passed or b"") != size or len(driven.arrived or b"") != size:
        yield "not played as planned: the registers were not recorded in full"


def mismatches(real: Real, driven: Driven, effect: Effect) -> Iterator[str]:
    """Yield a sentence where registers did not arrive, or the program found something else."""
    passed, arrived = driven.passed or b"", driven.arrived or b""
    for number in range(GENERAL_REGISTERS):
        word = slice(_WORD * number, _WORD * (number + 1))
        if passed[word] != arrived[word]:
            yield f"x{number} did not arrive as it was passed"
    if effect is Effect.OOPS:
        if driven.signal != KILLED:
            yield f"the task was to be killed, and ended with status {driven.status:#x}"
        return
    expected = real.intact if effect is Effect.NONE else real.corrupt
    if driven.status or driven.effect != expected:
        found = f"'{driven.effect}'" if driven.effect else "nothing"
        yield f"{real.action} found {found}, predicted '{expected}'" + (
            f"; it ended with status {driven.status:#x}" if driven.status else ""
        )
