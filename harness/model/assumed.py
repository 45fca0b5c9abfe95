# SPDX-License-Identifier: GPL-2.0-only
"""
Predictions without a guest, from an assumed frame in place of a measured one.

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
# The object's key among the arguments' indices.
_OBJECT = -1


class RecordPosition(enum.Enum):
    """Where a function keeps its frame record."""

    BELOW = "record-below"
    ABOVE = "record-above"


def predict_assumed(case: Case, policy: Policy, frame: RecordPosition) -> Prediction:
    """Return the prediction for the stack that lay_out() returns."""
    return predict(case, policy, *lay_out(case, frame))


def lay_out(case: Case, frame: RecordPosition) -> tuple[Hit, MeasuredFrame]:
    """Return the stack at a hit: the caller's frame, and its caller's where the case uses it."""
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
    if case.object and case.object.argument is not None:
        object_at = found[case.object.argument]
    return hit, MeasuredFrame(found, va_lists, object_at)


def _frame(
    case: Case, frame: RecordPosition, whose: cases.Frame, copies: Iterable[int], start: int
) -> tuple[int, dict[int, int], int]:
    """
    Lay out a frame above its outgoing arguments, which end at `start`.

    Returns the address of its frame record, the addresses of its locals, and its end.
    """
    locals_ = {
        index: (case.arguments[index].type.size, max(8, case.arguments[index].type.align))
        for index in copies
    }
    if case.object and case.object.frame is whose and case.object.argument is None:
        locals_[_OBJECT] = (case.object.size, 8)
    # The compiler puts the first local at the highest address.
    cursor, offsets = -CANARY, {}
    for index, (size, align) in locals_.items():
        cursor = (cursor - size) // align * align
        offsets[index] = cursor
    locals_size = align_up(-cursor, 16) if locals_ else 0
    end = start + locals_size + FRAME_RECORD
    if frame is RecordPosition.BELOW:
        record, top = start, end
    else:
        record = top = start + locals_size
    return record, {index: top + offset for index, offset in offsets.items()}, end


def _va_list(stack: int) -> bytes:
    """Return a va_list as va_start leaves it in a function with one named argument."""
    return b"".join(
        (
            stack.to_bytes(8, "little"),
            (stack - 64).to_bytes(8, "little"),
            (stack - 64).to_bytes(8, "little"),
            (-56).to_bytes(4, "little", signed=True),
            bytes(4),
        )
    )
