# SPDX-License-Identifier: GPL-2.0-only
"""Cases, and observations as a faithful guest would make them."""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml

from harness.abi.offsets import NONE
from harness.cases.reader import build_case
from harness.cases.schema import CaseFile
from harness.model import driven
from harness.model.case import Case, Effect, Real, default_value
from harness.model.observation import Counts, Driven, Look, Nested, Observation
from harness.model.policy import Hit, Policy
from harness.model.predict import MeasuredFrame, Prediction, predict

SP = 0xFFFF800008003000
NODE = 0xFFFF800001234560
NINE_WORDS = bytes(range(72))
MISSED = Counts(hits=1, handler=0, target=1, missed=1, skipped=0)
HIT = Hit(sp=SP, fp=SP + 64, top=SP + 0x1000, irq=False, irq_stack_size=16384)


def case(text: str, name: str = "made-up") -> Case:
    """Return a case from the YAML of its file, without `shows`."""
    import msgspec

    return build_case(name, msgspec.convert({"shows": "a test", **yaml.safe_load(text)}, CaseFile))


def flip(data: bytes) -> bytes:
    return bytes(octet ^ 0xFF for octet in data)


def observe(made: Case, policy: Policy, hit: Hit = HIT, **changes: Any) -> Observation:
    """Return what a guest sees in which all is as the model says; no va_list is supported."""
    pointees, cursor = {}, hit.sp + 512
    for index, placement in enumerate(made.layout.placements):
        if placement.by_reference:
            pointees[index] = cursor
            cursor += 2048
    object_at = cursor if made.object else 0
    if made.object and made.object.argument is not None:
        object_at = pointees[made.object.argument]
    prediction = predict(made, policy, hit, MeasuredFrame(pointees, {}, object_at, NODE))

    area = bytearray(made.layout.stack_size)
    arguments = {}
    for index, (argument, placement) in enumerate(zip(made.arguments, made.layout.placements)):
        # What the kernel passes is as good as any.
        value = argument.value or default_value(argument.type, index)
        if placement.stack is not None and not placement.by_reference:
            area[placement.stack : placement.stack + argument.type.size] = value
        corrupt = prediction.corrupt.get(index, NONE)
        if made.object and made.object.argument == index:
            corrupt = prediction.copy_writes[index] - prediction.lost
        seen = bytes(
            octet ^ argument.flip_mask if offset in corrupt else octet
            for offset, octet in enumerate(value)
        )
        written = prediction.copy_writes.get(index, NONE)
        after = bytes(
            octet ^ argument.flip_mask if offset in written else octet
            for offset, octet in enumerate(value)
        )
        arguments[index] = Look(
            pointees.get(index, 0),
            value if placement.by_reference else None,
            after if placement.by_reference else None,
            seen,
        )
    after = bytes(
        octet ^ 0xFF if offset in prediction.area_writes else octet
        for offset, octet in enumerate(area)
    )
    seen_area = bytearray(area)
    for index, placement in enumerate(made.layout.placements):
        if placement.stack is None or placement.by_reference:
            continue
        seen = arguments[index].seen or b""
        for offset in made.arguments[index].type.value_bytes:
            seen_area[placement.stack + offset] = seen[offset]
    looked = None
    if made.object:
        before = made.object.before(object_at)
        kept = prediction.object_after if prediction.runs else before
        undone = bytes(
            before[offset] if offset in prediction.lost else kept[offset]
            for offset in range(len(before))
        )
        looked = Look(object_at, before, kept, undone)
    ran = prediction.runs
    observation = Observation(
        seq=1,
        line="",
        hit=hit,
        context=made.context,
        counts=Counts(1, int(ran), 1, 0, int(not ran)),
        saved=prediction.window if ran else -1,
        overflow=prediction.overflow,
        area=Look(0, bytes(area) if ran else b"", after if ran else b"", bytes(seen_area)),
        arguments=arguments,
        object=looked,
        node=NODE if made.object else 0,
        nested=Nested(MISSED, NINE_WORDS, NINE_WORDS) if made.nested and ran else None,
    )
    if made.real:
        observation = driven.observe(made, _driven(made, made.real, prediction, observation))
    return dataclasses.replace(observation, **changes)


def _driven(
    made: Case, real: Real, prediction: Prediction, observation: Observation
) -> Observation:
    """Return the observation with what is recorded of a function of the kernel's own."""
    registers = bytearray(64)
    for index, placement in enumerate(made.layout.placements):
        if placement.general and not placement.by_reference:
            at, seen = 8 * placement.general[0], observation.arguments[index].seen or b""
            registers[at : at + len(seen)] = seen
    effect = driven.noticed(made, prediction)
    oops = effect is Effect.OOPS
    found = real.intact if effect is Effect.NONE else real.corrupt
    return dataclasses.replace(
        observation,
        arguments={
            index: look
            for index, look in observation.arguments.items()
            if made.layout.placements[index].by_reference
        },
        driven=Driven(bytes(registers), bytes(registers), driven.KILLED if oops else 0, found),
        new_taint=driven.OOPSED if oops else 0,
    )
