# SPDX-License-Identifier: GPL-2.0-only
"""Expected bytes: what the model says that the probed function, or the caller, finds."""

from __future__ import annotations

from collections.abc import Collection

from harness.model.observation import Look
from harness.model.verdict import Verdict

# What bytes are of, by name.
AREA = "area"
OBJECT = "object"


def argument_name(index: int) -> str:
    """Of the value of an argument, or of a by-reference one the copy."""
    return f"argument {index}"


def arrives(verdict: Verdict) -> dict[str, bytes]:
    """
    By place what arrives there.

    Left out is what the handler was not seen to find.
    """
    prediction, observation = verdict.prediction, verdict.observation
    sp = observation.hit.sp
    restored = range(sp, sp + prediction.window)
    found = {AREA: _arrives(observation.area, prediction.area_writes, restored, sp)}
    for index, writes in prediction.copy_writes.items():
        look = observation.arguments.get(index)
        if look:
            found[argument_name(index)] = _arrives(look, writes, restored, look.at)
    if observation.object and observation.object.before:
        before, after = observation.object.before, prediction.object_after
        found[OBJECT] = bytes(
            before[i] if i in prediction.lost else after[i] for i in range(len(after))
        )
    return {name: data for name, data in found.items() if data}


def _arrives(look: Look, writes: Collection[int], restored: range, start: int) -> bytes:
    """What the handler writes stays, but for what is put back."""
    if not look.before or not look.after:
        return b""
    return bytes(
        look.after[i] if i in writes and start + i not in restored else look.before[i]
        for i in range(len(look.before))
    )
