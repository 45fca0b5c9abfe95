# SPDX-License-Identifier: GPL-2.0-only
"""
Predictions without a guest: a nominal frame stands in for a measured one.

The two layouts are those that compilers in use have: gcc 12 keeps the frame
record below the locals, right above the outgoing arguments; gcc 16 above them.
"""

from __future__ import annotations

import enum

from harness.model import case as cases
from harness.model.case import Case, Context
from harness.model.ctype import VA_LIST, align_up
from harness.model.policy import Hit, Policy
from harness.model.predict import Places, Prediction, predict

STACK_SIZE = 16384
# Bytes between SP at the hit and the stack's top, in a system call and in an
# interrupt: enough for the frames in between.
DEPTH = 1024
FRAME_RECORD = 16
# Bytes of the caller's frame, as seen from the caller's caller.
OUTER = 256


class Frame(enum.Enum):
    """Where the caller keeps its frame record."""

    BELOW = "record-below"
    ABOVE = "record-above"


def nominal(case: Case, policy: Policy, frame: Frame) -> Prediction:
    """Predict for a stack that is laid out as lay_out() has it."""
    return predict(case, policy, *lay_out(case, frame))


def lay_out(case: Case, frame: Frame) -> tuple[Hit, Places]:
    """The stack at a hit, copies and objects one above the other, as a caller lays them."""
    sp = 0xFFFF800008004000 - DEPTH - _locals_size(case)
    cursor = align_up(sp + case.layout.stack_size, 16)
    fp = cursor
    if frame is Frame.BELOW:
        cursor += FRAME_RECORD
    pointees = {}
    for index, placement in enumerate(case.layout.placements):
        if placement.by_reference and index not in case.forwarded:
            pointees[index] = cursor
            cursor = align_up(cursor + case.arguments[index].type.size, 16)
    object_at = 0
    if case.object and case.object.frame is cases.Frame.CALLER:
        object_at = cursor
        cursor = align_up(cursor + case.object.size, 16)
    if frame is Frame.ABOVE:
        fp = cursor
        cursor += FRAME_RECORD
    cursor += OUTER
    for index in case.forwarded:
        pointees[index] = cursor
        cursor = align_up(cursor + case.arguments[index].type.size, 16)
    if case.object and case.object.frame is cases.Frame.OUTER:
        object_at = cursor
    hit = Hit(
        sp=sp,
        fp=fp if case.valid_fp else 16,
        top=0xFFFF800008004000,
        irq=case.context is not Context.PROCESS,
        irq_stack_size=STACK_SIZE,
    )
    va_lists = {
        index: _va_list(cursor)
        for index, argument in enumerate(case.arguments)
        if argument.type == VA_LIST
    }
    return hit, Places(pointees, va_lists, object_at)


def _locals_size(case: Case) -> int:
    sizes = [argument.type.size for argument in case.arguments]
    total = sum(sizes) + (case.object.size if case.object else 0)
    return align_up(total + case.layout.stack_size + OUTER, 16)


def _va_list(stack: int) -> bytes:
    """As va_start leaves it in a function with one named argument."""
    return b"".join(
        (
            stack.to_bytes(8, "little"),
            (stack - 64).to_bytes(8, "little"),
            (stack - 64).to_bytes(8, "little"),
            (-56).to_bytes(4, "little", signed=True),
            bytes(4),
        )
    )
