# SPDX-License-Identifier: GPL-2.0-only
"""
Predictions without a guest: an assumed frame stands in for a measured one.

The two layouts are those that compilers in use have: gcc 12 keeps the frame
record below the locals, right above the outgoing arguments; gcc 16 above them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from harness.abi.ctype import VA_LIST, align_up
from harness.model import case as cases
from harness.model.case import Case
from harness.model.policy import Hit, Policy
from harness.model.predict import MeasuredFrame, Prediction, predict

STACK_SIZE = 16384
FRAME_RECORD = 16
# The stack protector's word, above the locals.
CANARY = 8
_SP = 0xFFFF800008000000
# Stands beside the arguments' indices.
_OBJECT = -1


class RecordPosition(enum.Enum):
    """Where a function keeps its frame record."""

    BELOW = "record-below"
    ABOVE = "record-above"


def predict_assumed(case: Case, policy: Policy, frame: RecordPosition) -> Prediction:
    """Predict for a stack that is laid out as lay_out() has it."""
    return predict(case, policy, *lay_out(case, frame))


def lay_out(case: Case, frame: RecordPosition) -> tuple[Hit, MeasuredFrame]:
    """The stack at a hit: the frame of the caller, and of its caller where the case has one."""
    copies = [
        index
        for index, placement in enumerate(case.layout.placements)
        if placement.by_reference and index not in case.forwarded
    ]
    area = _SP + align_up(case.layout.stack_size, 16)
    fp, found, end = _frame(case, frame, cases.Frame.CALLER, copies, area)
    if case.forwarded or (case.object and case.object.frame is cases.Frame.OUTER):
        _, outer, end = _frame(case, frame, cases.Frame.OUTER, case.forwarded, end)
        found |= outer
    hit = Hit(
        sp=_SP,
        fp=fp if case.valid_fp else 16,
        top=end + case.context.traits.assumed_depth,
        irq=case.context.traits.assumed_on_irq_stack,
        irq_stack_size=STACK_SIZE,
    )
    va_lists = {
        index: _va_list(end)
        for index, argument in enumerate(case.arguments)
        if argument.type == VA_LIST
    }
    object_at = found.pop(_OBJECT, 0)
    return hit, MeasuredFrame(found, va_lists, object_at)


def _frame(
    case: Case, frame: RecordPosition, whose: cases.Frame, copies: Iterable[int], start: int
) -> tuple[int, dict[int, int], int]:
    """Above outgoing arguments: the frame record, the locals, and the frame's end."""
    locals_ = {
        index: (case.arguments[index].type.size, max(8, case.arguments[index].type.align))
        for index in copies
    }
    if case.object and case.object.frame is whose:
        locals_[_OBJECT] = (case.object.size, 8)
    # The first one is the topmost.
    cursor, offsets = -CANARY, {}
    for index, (size, align) in locals_.items():
        cursor = (cursor - size) // align * align
        offsets[index] = cursor
    room = align_up(-cursor, 16) if locals_ else 0
    end = start + room + FRAME_RECORD
    if frame is RecordPosition.BELOW:
        record, top = start, end
    else:
        record = top = start + room
    return record, {index: top + offset for index, offset in offsets.items()}, end


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
