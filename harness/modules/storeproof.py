# SPDX-License-Identifier: GPL-2.0-only
"""
Proves from a handler's disassembly that it makes each of its stores.

A compiler may drop a store to a parameter that is not read again, or make it to a
copy of the parameter in the handler's own frame; an "intact" argument would then
mean nothing.  Handlers store through calls that cannot be dropped, so it is
enough to follow the few instructions that compute each call's arguments: x0
must hold SP at the handler's entry plus the argument's offset (rule C.15 or
C.17), or the by-reference address that came in a register or a slot, x1 the size
and w2 the bits to invert.  Where x0 points into the handler's own frame instead,
the compiler keeps a copy of the stacked argument there, as clang does of structs.
An assignment to the copy has no effect outside of the handler, and the prediction
takes that into account.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.errors import UnprovedStore
from harness.host import cache
from harness.model.case import Agent, Case
from harness.modules.casefunctions import symbol
from harness.modules.casegen import LINE_SIZE

if TYPE_CHECKING:
    from harness.modules.frame import Value
    from harness.modules.tracker import Call

# The file of a proof: by case, the stacked arguments that prove() returns.
PRIVATE_COPIES = "private_copies.json"
# Stands for the rules by which stores are proved, so that no proof by others is used; made
# anew with: python -m tests.rules
RULES = "02be1160f92c"


@dataclass(frozen=True)
class StoreCall:
    """A call of one of the storing functions, and the arguments that it must have."""

    function: str
    # Expected x0; None for "somewhere in the handler's own frame".
    x0: Value | None
    # Expected x1 and w2 (its low byte), constants, or None where not passed.
    x1: int | None = None
    w2: int | None = None
    # The stacked argument that is assigned to, if it is one.
    stacked: int | None = None


def expected_stores(case: Case) -> list[StoreCall]:
    """Return the stores of a handler, in order, as the model's placement has them."""
    stores = []
    if case.handler.log:
        # To a line of its own.
        stores.append(StoreCall("vsnprintf", None, LINE_SIZE))
    for index in case.handler.assign:
        size = case.arguments[index].type.size
        mask = case.arguments[index].flip_mask
        address = _address(case, index)
        stacked = index if address and address[0] == "sp" else None
        stores.append(StoreCall("probe_flip", address, size, mask, stacked))
    if case.handler.overwrite:
        stores.append(StoreCall("probe_flip_stack", ("", case.handler.overwrite)))
    if consume := case.handler.consume:
        x0 = _address(case, consume.argument)
        stores.append(StoreCall("probe_consume", x0, consume.words))
    if case.object and case.object.writer:
        stores.append(StoreCall("probe_object_write", _agent(case.object.writer)))
    if case.nested:
        stores.append(StoreCall("probe_call_nested", _agent(case.nested)))
    return stores


def _agent(who: Agent) -> Value:
    """Return an agent's number in enum probe_agent."""
    return "", list(Agent).index(who)


def _address(case: Case, index: int) -> Value | None:
    placement = case.layout.placements[index]
    if placement.by_reference:
        if placement.stack is None:
            return f"x{placement.general[0]}", 0
        return f"slot:{placement.stack}", 0
    return None if placement.stack is None else ("sp", placement.stack)


_FUNCTIONS = frozenset(
    [
        "probe_flip",
        "probe_flip_stack",
        "probe_consume",
        "probe_object_write",
        "probe_call_nested",
        "vsnprintf",
    ]
)


def proof(cases: Sequence[Case], file: Path) -> Path:
    """
    Return the folder with what is proved of the stores in an object file, from the cache.

    Raises UnprovedStore for the first handler in which a store is not proved, and
    InfrastructureError for a file that is no object file.
    """

    def make(folder: Path) -> None:
        # Slow to import, and not needed where the proof is in the cache.
        from harness.modules import disassembly, tracker

        functions = disassembly.functions(file, {symbol(case, "handler") for case in cases})
        found = {name: list(tracker.calls(function)) for name, function in functions.items()}
        (folder / PRIVATE_COPIES).write_bytes(msgspec.json.encode(prove(cases, found)))

    # The expected stores follow from the model's placement, which the C does not show.
    planned = [f"{case.name} {expected_stores(case)}" for case in cases]
    return cache.entry("proofs", cache.digest(RULES, cache.content(file), *planned), make)


def prove(cases: Sequence[Case], calls: Mapping[str, Sequence[Call]]) -> dict[str, list[int]]:
    """
    Return by case the stacked arguments that the handler assigns to in a copy in its own frame.

    `calls` are those that each function makes.  Raises UnprovedStore for the first
    handler in which a store is not proved.
    """
    private_copies: dict[str, list[int]] = {}
    for case in cases:
        name = symbol(case, "handler")
        stores = expected_stores(case)
        found = [call for call in calls.get(name, ()) if call.function in _FUNCTIONS]
        if len(found) != len(stores):
            raise UnprovedStore(
                case.name,
                f"its handler has {len(found)} stores in the"
                f" disassembly, {len(stores)} were planned.",
                "The compiler dropped or changed one; no verdict of this case would hold.",
            )
        for store, call in zip(stores, found):
            if not _matches(store, call):
                if store.stacked is not None and _matches(replace(store, x0=None), call):
                    private_copies.setdefault(case.name, []).append(store.stacked)
                    continue
                raise UnprovedStore(
                    case.name,
                    f"{store.function} is not proved to get"
                    f" {store.x0 or 'a local'}, {store.x1} and {store.w2}; it gets {call}.",
                    "The compiler stores elsewhere; no verdict of this case would hold.",
                )
    return private_copies


def _matches(store: StoreCall, call: Call) -> bool:
    if call.function != store.function or not call.certain:
        return False
    if store.x1 is not None and call.x1 != ("", store.x1):
        return False
    if store.w2 is not None and (call.w2 is None or call.w2[0] or call.w2[1] & 0xFF != store.w2):
        return False
    if store.x0 is None:
        return call.x0 is not None and call.x0[0] == "sp" and call.x0[1] < 0
    return call.x0 == store.x0
