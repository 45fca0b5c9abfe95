# SPDX-License-Identifier: GPL-2.0-only
"""
A survey of a kernel's functions: where AAPCS64 places their arguments, and what follows.

Nothing is run: placements are the model's, from prototypes, and so is what each stack policy
would do.  What a prototype does not say is counted as unknown.
"""

from __future__ import annotations

import gc
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from harness.abi import aapcs64
from harness.abi.aapcs64 import Layout
from harness.abi.ctype import Composite, CType
from harness.measure.at_risk import Risk, Risks
from harness.model.policy import Variant
from harness.prototypes import source
from harness.prototypes.source import Files, Prototypes
from harness.prototypes.types import Parameter, Prototype, Signature
from harness.steps import progress

# How many functions are placed between two reports of progress.
_AT_ONCE = 4096


@dataclass(frozen=True)
class ByReference:
    """An aggregate that a function takes by reference."""

    # As C writes it.
    type: str
    # In bytes.
    size: int


@dataclass(frozen=True, eq=False)
class Placement:
    """The arguments of a signature where the calling convention puts them."""

    signature: Signature
    # The layout of the named arguments; None where it is unknown.
    layout: Layout | None
    # Further ones that an attribute which BTF does not have would lead to; the bytes on the
    # stack and what is by reference are the same in all of them.
    others: tuple[Layout, ...] = ()
    # Why the layout is unknown, in words.
    unknown: str = ""

    @property
    def stacked(self) -> int:
        """The bytes of its argument area on the stack."""
        return self.layout.stack_size if self.layout else 0

    @cached_property
    def by_reference(self) -> tuple[ByReference, ...]:
        """The aggregates that it takes by reference, in order."""
        if self.layout is None:
            return ()
        return tuple(
            ByReference(parameter.spelling, parameter.type.size)
            for parameter, placement in zip(self.signature.parameters, self.layout.placements)
            if placement.by_reference and parameter.type
        )

    @property
    def in_registers(self) -> bool:
        """Whether all that it takes is known to be in registers."""
        tail = self.signature.variadic
        return self.layout is not None and not (self.stacked or self.by_reference or tail)


@dataclass(frozen=True)
class Function:
    """A function and the placement of its arguments."""

    prototype: Prototype
    placement: Placement

    @property
    def name(self) -> str:
        return self.prototype.name

    @property
    def stacked(self) -> int:
        """The bytes of its argument area on the stack."""
        return self.placement.stacked

    @property
    def by_reference(self) -> tuple[ByReference, ...]:
        """The aggregates that it takes by reference, in order."""
        return self.placement.by_reference


@dataclass(frozen=True)
class Symbols:
    """What the image's own symbols (/proc/kallsyms) say beside its prototypes, by name."""

    # Functions without a prototype: written in assembly, or left out by whoever made the BTF.
    without_prototype: int
    # Those that the compiler made of others, such as f.isra.0, which take what it chose.
    clones: int
    # Prototypes of functions that the image does not have, as all their calls were inlined.
    without_code: int


@dataclass(frozen=True)
class Survey:
    """What the prototypes of one kernel show."""

    # The spec by which the user named the kernel, and its release.
    spec: str
    release: str
    # Where the prototypes come from, in words.
    source: str
    functions: tuple[Function, ...]
    # What each variant means for them, in the variants' order.
    risks: tuple[Risk, ...]
    # Modules whose prototypes are in the survey, and the reasons of the others by name.
    modules: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    # None where the symbols are not known.
    symbols: Symbols | None = None

    @cached_property
    def stacked(self) -> tuple[Function, ...]:
        """Those with stacked arguments, the most bytes first."""
        found = [one for one in self.functions if one.stacked]
        return tuple(sorted(found, key=lambda one: (-one.stacked, one.name)))

    @cached_property
    def by_reference(self) -> tuple[Function, ...]:
        """Those with an aggregate by reference, the largest first."""
        found = [one for one in self.functions if one.by_reference]
        return tuple(sorted(found, key=lambda one: (-_size(one), one.name)))

    @cached_property
    def variadic(self) -> tuple[Function, ...]:
        return tuple(one for one in self.functions if one.prototype.signature.variadic)

    @cached_property
    def unknown(self) -> tuple[Function, ...]:
        return tuple(one for one in self.functions if one.placement.layout is None)

    @cached_property
    def in_registers(self) -> int:
        """How many take all that they take in registers."""
        return sum(one.placement.in_registers for one in self.functions)

    @cached_property
    def ambiguous(self) -> int:
        """How many may use other registers or slots, which no count depends on."""
        return sum(bool(one.placement.others) for one in self.functions)

    @cached_property
    def histogram(self) -> dict[int, int]:
        """The number of functions by stacked bytes, without those with none."""
        return dict(sorted(Counter(one.stacked for one in self.stacked).items()))

    @cached_property
    def aggregates(self) -> list[tuple[ByReference, int]]:
        """The types passed by reference with the number of such parameters, most first."""
        found = Counter(part for one in self.by_reference for part in one.by_reference)
        return sorted(found.items(), key=lambda item: (-item[1], -item[0].size, item[0].type))

    def named(self, name: str) -> list[Function]:
        """Return the functions of a name, which may be several."""
        return [one for one in self.functions if one.name == name]


def _size(function: Function) -> int:
    return sum(part.size for part in function.by_reference)


def place(signature: Signature) -> Placement:
    """Place the named arguments of a signature."""
    types = []
    for parameter in signature.parameters:
        if parameter.type is None:
            why = f"{parameter.declared}: {parameter.unknown}"
            return Placement(signature, None, unknown=why)
        types.append(parameter.type)
    layout = aapcs64.place(types)
    others = list(_others(signature.parameters, types))
    for other in others:
        if _counted(other) != _counted(layout):
            name = next(p.declared for p in signature.parameters if len(p.alignments) > 1)
            why = f"{name}: BTF does not say whether a member has an alignment attribute"
            return Placement(signature, None, unknown=why)
    return Placement(signature, layout, tuple(one for one in others if one != layout))


def _counted(layout: Layout) -> tuple[object, ...]:
    return layout.stack_size, [(p.stack is None, p.by_reference) for p in layout.placements]


def _others(parameters: Sequence[Parameter], types: Sequence[CType]) -> Iterable[Layout]:
    """Yield the placements with each further choice of alignments that BTF leaves open."""
    choices = [parameter.alignments for parameter in parameters]
    if all(len(choice) == 1 for choice in choices):
        return
    for chosen in itertools.islice(itertools.product(*choices), 1, None):
        yield aapcs64.place([_aligned(type_, align) for type_, align in zip(types, chosen)])


def _aligned(type_: CType, align: int) -> CType:
    return replace(type_, natural_align=align) if isinstance(type_, Composite) else type_


def placed(prototypes: Prototypes) -> tuple[Function, ...]:
    """Place the arguments of all functions of a kernel."""
    functions = []
    placements: dict[Signature, Placement] = {}
    with _uncollected():
        for number, prototype in enumerate(prototypes):
            if number % _AT_ONCE == 0:
                progress(f"functions of {prototypes.release}", number, prototypes.total)
            signature = prototype.signature
            if signature not in placements:
                placements[signature] = place(signature)
            functions.append(Function(prototype, placements[signature]))
    return tuple(functions)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Have the interpreter look for no garbage while millions of objects are made, which stay."""
    looks = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Nor at these from then on.
        gc.freeze()
        if looks:
            gc.enable()


def read(files: Files, variants: Sequence[Variant]) -> Survey:
    """Survey a kernel from its files; raises as source.read()."""
    with _uncollected():
        return survey(source.read(files), variants)


def survey(prototypes: Prototypes, variants: Sequence[Variant]) -> Survey:
    """Place all functions of a kernel, and find what each variant means for them."""
    functions = placed(prototypes)
    risks = Risks(variants)
    for placement, count in Counter(one.placement for one in functions).items():
        risks.count(placement.signature, placement.layout, count)
    return Survey(
        spec=prototypes.spec,
        release=prototypes.release,
        source=prototypes.source,
        functions=functions,
        risks=risks.found(),
        modules=prototypes.read,
        unread=prototypes.unread,
        symbols=_symbols(prototypes, functions),
    )


def _symbols(prototypes: Prototypes, functions: Sequence[Function]) -> Symbols | None:
    """Compare the functions of the image with the image's own symbols."""
    if prototypes.symbols is None:
        return None
    known = {one.name for one in functions if not one.prototype.module}
    plain = {name for name in prototypes.symbols if "." not in name}
    clones = len(prototypes.symbols) - len(plain)
    return Symbols(len(plain - known), clones, len(known - plain))


@dataclass(frozen=True)
class Change:
    """A function whose arguments lie elsewhere in another kernel; None where it has none."""

    name: str
    before: Function | None
    after: Function | None


def changes(first: Survey, last: Survey) -> list[Change]:
    """
    Return the functions whose stacked bytes or by-reference arguments differ in two kernels.

    A function that only one of them has counts if it has any.  Of several with one name, those
    alike in both are left out, and so are modules if those of a kernel have no prototypes.
    """
    found: list[Change] = []
    modules = bool(first.modules and last.modules)
    olds, news = _by_name(first, modules), _by_name(last, modules)
    for name in sorted(olds.keys() | news.keys()):
        old, new = olds.get(name, []), news.get(name, [])
        gone = [one for one in old if not any(_same(one, other) for other in new)]
        come = [one for one in new if not any(_same(one, other) for other in old)]
        for before, after in itertools.zip_longest(gone, come):
            if any(one and (one.stacked or one.by_reference) for one in (before, after)):
                found.append(Change(name, before, after))
    return found


def _by_name(survey: Survey, modules: bool) -> dict[str, list[Function]]:
    found: dict[str, list[Function]] = {}
    for one in survey.functions:
        if modules or not one.prototype.module:
            found.setdefault(one.name, []).append(one)
    return found


def _same(one: Function, other: Function) -> bool:
    """Return whether two functions take the same outside of registers, or both unknown things."""
    return _outside(one) == _outside(other)


def _outside(one: Function) -> tuple[object, ...]:
    sizes = [part.size for part in one.by_reference]
    return one.placement.layout is None, one.stacked, sizes
