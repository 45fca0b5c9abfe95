# SPDX-License-Identifier: GPL-2.0-only
"""
What a stack policy means for a function, from the model and a prototype alone.

The handler is the worst that a jprobe's can be: it assigns to each of its parameters.  The
model predicts what comes of that in the frames and on the stacks that it has assumptions for,
and a second time with a variable of the caller's that another CPU writes to meanwhile.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.abi.aapcs64 import Layout
from harness.abi.ctype import CType
from harness.model.assumed import RecordPosition, predict_assumed
from harness.model.case import (
    Agent,
    Argument,
    Case,
    Frame,
    Handler,
    Object,
    ObjectKind,
    object_size,
)
from harness.model.context import Context
from harness.model.policy import Policy, Variant
from harness.model.predict import Damage
from harness.prototypes.types import Signature

# A process's stack and the interrupt stack, which policies tell apart.
CONTEXTS = (Context.PROCESS, Context.HARDIRQ)
_COUNTER = Object(
    ObjectKind.COUNTER, object_size(ObjectKind.COUNTER, None), Frame.CALLER, Agent.CPU
)
# What keeps an argument from reaching the function as it was passed.
_OF_ARGUMENTS = frozenset({Damage.LEAK, Damage.BY_REF, Damage.SKIPPED})


@dataclass(frozen=True)
class Risk:
    """What one variant means for all functions of a kernel."""

    variant: Variant
    # Functions for which nothing can go wrong.
    safe: int
    # Those for which something can.
    unsafe: int
    # Those with variadic or unknown arguments, and nothing wrong with what is known of them.
    unknown: int
    # Those whose named arguments arrive as they were passed.
    kept: int
    # The number of functions for each kind of damage that may come; one may have several.
    damage: Mapping[Damage, int]


class Risks:
    """Counts functions by what each variant may do to them."""

    def __init__(self, variants: Sequence[Variant]) -> None:
        self._variants = variants
        # Functions by what decides on the predictions.
        self._counts: Counter[_Kind] = Counter()
        self._cases: dict[_Kind, Case] = {}

    def count(self, signature: Signature, layout: Layout | None, functions: int) -> None:
        """Count functions of a signature; `layout` is None where their placement is unknown."""
        kind = _kind(signature, layout)
        self._counts[kind] += functions
        if kind not in self._cases:
            self._cases[kind] = _case(signature, layout)

    def found(self) -> tuple[Risk, ...]:
        """Return what each variant means for the functions that were counted."""
        return tuple(map(self._found, self._variants))

    def _found(self, variant: Variant) -> Risk:
        verdicts: Counter[str] = Counter()
        kinds: Counter[Damage] = Counter()
        kept = 0
        for kind, functions in self._counts.items():
            found = damage(self._cases[kind], variant.policy)
            verdicts["unsafe" if found else "safe" if kind.complete else "unknown"] += functions
            kept += functions if kind.placed and not found & _OF_ARGUMENTS else 0
            kinds.update(dict.fromkeys(found, functions))
        return Risk(
            variant, verdicts["safe"], verdicts["unsafe"], verdicts["unknown"], kept, dict(kinds)
        )


@dataclass(frozen=True)
class _Kind:
    """What decides on the predictions for a function; the same for all that are in registers."""

    # Each argument that is not in registers: its type, its offset, and whether it is by reference.
    outside: tuple[tuple[CType, int | None, bool], ...]
    # Whether the placement is known, and whether it is of all arguments that there may be.
    placed: bool
    complete: bool


def _kind(signature: Signature, layout: Layout | None) -> _Kind:
    if layout is None:
        return _Kind((), placed=False, complete=False)
    outside = tuple(
        (parameter.type, placement.stack, placement.by_reference)
        for parameter, placement in zip(signature.parameters, layout.placements)
        if parameter.type and (placement.stack is not None or placement.by_reference)
    )
    return _Kind(outside, placed=True, complete=not signature.variadic)


def _case(signature: Signature, layout: Layout | None) -> Case:
    """Return a call of a function whose handler assigns to each parameter."""
    known = signature.parameters if layout else ()
    arguments = tuple(Argument(parameter.type, b"") for parameter in known if parameter.type)
    everything = tuple(range(len(arguments)))
    return Case("survey", "", arguments, len(arguments), Handler(assign=everything))


def damage(case: Case, policy: Policy) -> frozenset[Damage]:
    """Return the damage that may come of a policy in any of the assumed frames and contexts."""
    return frozenset(itertools.chain.from_iterable(_each(case, policy)))


def _each(case: Case, policy: Policy) -> Iterator[frozenset[Damage]]:
    for context, frame in itertools.product(CONTEXTS, RecordPosition):
        here = replace(case, context=context)
        yield predict_assumed(here, policy, frame).damage
        watched = predict_assumed(replace(here, object=_COUNTER), policy, frame).damage
        yield watched & {Damage.ROLLBACK}
