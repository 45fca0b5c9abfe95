# SPDX-License-Identifier: GPL-2.0-only
"""Expected bytes: what the probed function, or the caller, finds according to the model."""

from __future__ import annotations

from collections.abc import Collection

from harness.model.observation import Look
from harness.model.policy import Span
from harness.model.verdict import Verdict

# Names of places whose bytes are expected.
AREA = "area"
OBJECT = "object"


def argument_name(index: int) -> str:
    """Return the place's name for an argument's value, or a by-reference argument's copy."""
    return f"argument {index}"


def arrives(verdict: Verdict) -> dict[str, bytes]:
    """
    Return the expected bytes by the name of their place.

    A place that was not recorded before the handler is left out.
    """
    prediction, observation = verdict.prediction, verdict.observation
    sp = observation.hit.sp
    restored = prediction.saved
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


def _arrives(look: Look, writes: Collection[int], restored: Collection[Span], start: int) -> bytes:
    """Return the bytes after the handler, with those that the policy restores put back."""
    if not look.before or not look.after:
        return b""
    put_back = {i for first, end in restored for i in range(first - start, end - start)}
    return bytes(
        look.after[i] if i in writes and i not in put_back else look.before[i]
        for i in range(len(look.before))
    )
