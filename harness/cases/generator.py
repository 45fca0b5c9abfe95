# SPDX-License-Identifier: GPL-2.0-only
"""Random cases, the same ones for the same seed, and simpler ones of a case."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from random import Random

from harness.abi import ctype
from harness.abi.aapcs64 import Layout, place
from harness.abi.ctype import Array, BitField, Composite, CType, Scalar
from harness.model.case import (
    Agent,
    Argument,
    Case,
    Frame,
    Handler,
    Object,
    ObjectKind,
    default_value,
)
from harness.model.context import Context

INTEGERS = (
    ctype.CHAR, ctype.SCHAR, ctype.UCHAR, ctype.SHORT, ctype.USHORT, ctype.INT, ctype.UINT,
    ctype.LONG, ctype.ULONG, ctype.LONG_LONG, ctype.POINTER, ctype.INT128,
)  # fmt: skip
CONTAINERS = (ctype.UCHAR, ctype.USHORT, ctype.UINT, ctype.ULONG)
# The largest by-reference argument, in bytes.
COMPOSITE_MAX = 256
NAMED_MAX = 16
VARIADIC_MAX = 6


class _Types:
    """Draws types; a composite gets a tag of its own."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._count = 0

    def draw(self) -> CType:
        kind = self._random.random()
        if kind < 0.6:
            return self._random.choice(INTEGERS)
        if kind < 0.65:
            return ctype.BOOL
        return self._composite(depth=0)

    def variadic(self) -> CType:
        """Draw the type of a variadic argument, as it is after C's promotions."""
        return self._random.choice((ctype.INT, ctype.UINT, ctype.LONG, ctype.POINTER))

    def _composite(self, depth: int) -> Composite:
        while True:
            members = [self._member(depth) for _ in range(self._random.randint(1, 4))]
            bits = any(isinstance(member, BitField) for member in members)
            keyword = "struct" if bits else self._random.choice(("struct", "struct", "union"))
            made = ctype.composite(
                keyword,
                f"t{self._count}",
                members,
                packed=self._random.random() < 0.15,
                aligned=self._random.choice((1, 1, 1, 1, 8, 16)),
            )
            if made.size <= COMPOSITE_MAX:
                self._count += 1
                return made

    def _member(self, depth: int) -> CType | BitField:
        kind = self._random.random()
        if kind < 0.1:
            container = self._random.choice(CONTAINERS)
            return BitField(container, self._random.randint(1, 8 * container.size))
        if kind < 0.25 and depth < 2:
            return self._composite(depth + 1)
        scalar = self._random.choice(INTEGERS)
        return Array(scalar, self._random.randint(1, 12)) if kind < 0.5 else scalar


def name(seed: int, index: int) -> str:
    """Return the name of the case with signature `index` of a seed."""
    return f"fuzz-{seed}-{index}"


# A further one would change what each seed stands for.
DRAWN = (
    Context.PROCESS,
    Context.PROCESS,
    Context.PROCESS,
    Context.DEEP,
    Context.KTHREAD_TOP,
    Context.SOFTIRQ,
    Context.HARDIRQ,
)


def draw(seed: int, index: int) -> Case:
    """Return a case with signature `index` of `seed`, and a random handler, context and object."""
    random = Random(f"{seed}/{index}")
    types = _Types(random)
    context = random.choice(DRAWN)
    drawn = [types.draw() for _ in range(random.randint(1, NAMED_MAX))]
    named = len(drawn)
    if random.random() < 0.15:
        drawn += [types.variadic() for _ in range(random.randint(1, VARIADIC_MAX))]
    limit = context.traits.drawn_arguments_max
    while sum(type_.size for type_ in drawn) > limit:
        # Replace the largest argument by a word until all of them fit.
        largest = max(range(len(drawn)), key=lambda i: drawn[i].size)
        if drawn[largest].size <= 8:
            drawn.pop()
            named = min(named, len(drawn))
        else:
            drawn[largest] = ctype.LONG
    valid_fp = random.random() > 0.1
    return Case(
        name=name(seed, index),
        shows=f"signature {index} of seed {seed}",
        arguments=_arguments(drawn),
        named=named,
        handler=_handler(random, drawn, named),
        context=context,
        valid_fp=valid_fp,
        object=_object(random, context),
    )


def _arguments(types: Sequence[CType]) -> tuple[Argument, ...]:
    return tuple(Argument(t, default_value(t, index)) for index, t in enumerate(types))


def _handler(random: Random, types: Sequence[CType], named: int) -> Handler:
    kind = random.random()
    if kind < 0.15:
        return Handler()
    if kind < 0.35 and (writable := _writable_area(place(types))):
        return Handler(overwrite=random.randint(1, writable))
    chosen = [index for index in range(named) if random.random() < 0.7]
    return Handler(assign=tuple(chosen))


def _writable_area(layout: Layout) -> int:
    """Return the number of bytes from SP up to the first address that the function follows."""
    return min(
        (p.stack for p in layout.placements if p.by_reference and p.stack is not None),
        default=layout.stack_size,
    )


def _object(random: Random, context: Context) -> Object | None:
    if random.random() > 0.2:
        return None
    writers = [Agent.HANDLER, Agent.CPU]
    if context is not Context.HARDIRQ:
        writers.append(Agent.INTERRUPT)
    size = random.randint(1, 64)
    return Object(ObjectKind.BYTES, size, random.choice(list(Frame)), random.choice(writers))


def simpler(case: Case) -> Iterator[Case]:
    """Yield cases with one thing less, largest cuts first; not all of them can be played."""
    count = len(case.arguments)
    if count > 3:
        yield _without(case, range(count // 2))
        yield _without(case, range(count // 2, count))
    for index in range(count):
        yield _without(case, (index,))
    handler = case.handler
    for index in handler.assign:
        rest = tuple(other for other in handler.assign if other != index)
        yield dataclasses.replace(case, handler=dataclasses.replace(handler, assign=rest))
    for size in {handler.overwrite // 2, handler.overwrite - 1}:
        if 0 < size < handler.overwrite:
            yield dataclasses.replace(case, handler=dataclasses.replace(handler, overwrite=size))
    if handler.overwrite:
        yield dataclasses.replace(case, handler=dataclasses.replace(handler, overwrite=0))
    if case.object:
        yield dataclasses.replace(case, object=None)
    if case.context is not Context.PROCESS:
        yield dataclasses.replace(case, context=Context.PROCESS)
    if not case.valid_fp:
        yield dataclasses.replace(case, valid_fp=True)
    types = list(case.types)
    for index, type_ in enumerate(types):
        for other in _simpler_types(type_):
            drawn = [*types[:index], other, *types[index + 1 :]]
            yield dataclasses.replace(case, arguments=_arguments(drawn))


def _without(case: Case, dropped: Collection[int]) -> Case:
    rest = [index for index in range(len(case.arguments)) if index not in dropped]
    assign = tuple(rest.index(index) for index in case.handler.assign if index in rest)
    return dataclasses.replace(
        case,
        arguments=_arguments([case.types[index] for index in rest]),
        named=sum(1 for index in rest if index < case.named),
        handler=dataclasses.replace(case.handler, assign=assign),
    )


def _simpler_types(type_: CType) -> Iterator[CType]:
    """Yield simpler types: a word, and a composite without one of its members."""
    if type_ != ctype.LONG:
        yield ctype.LONG
    if not isinstance(type_, Composite) or len(type_.members) < 2:
        return
    for index in range(len(type_.members)):
        members = [
            BitField(m.type, m.bits[1]) if m.bits and isinstance(m.type, Scalar) else m.type
            for other, m in enumerate(type_.members)
            if other != index
        ]
        yield ctype.composite(
            type_.keyword, type_.tag, members, packed=type_.packed, aligned=type_.align
        )
