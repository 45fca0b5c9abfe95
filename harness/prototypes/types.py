# SPDX-License-Identifier: GPL-2.0-only
"""
Types and prototypes in BTF, as the model places them and as C writes them; no I/O.

BTF has neither alignment attributes nor packing.  Of a type for which that may matter, this
says which alignments are possible, and of one that cannot be placed, why.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from harness.abi.ctype import (
    DOUBLE,
    FLOAT,
    HALF,
    POINTER,
    QUAD,
    VA_LIST,
    Array,
    Composite,
    CType,
    Member,
    Scalar,
    TypeKind,
)
from harness.prototypes.btf import Btf, Kind, Part, UnreadableBtf

_QUALIFIERS = {Kind.CONST: "const", Kind.VOLATILE: "volatile", Kind.RESTRICT: "restrict"}
_TRANSPARENT = (Kind.TYPEDEF, Kind.TYPE_TAG, *_QUALIFIERS)
AGGREGATES = (Kind.STRUCT, Kind.UNION)
_INTEGERS = (1, 2, 4, 8, 16)
# Floating-point types; pahole writes them as integers unless asked for FLOAT.
_FLOATS = {
    "_Float16": HALF,
    "__fp16": HALF,
    "float": FLOAT,
    "double": DOUBLE,
    "long double": QUAD,
}
# Deeper than any type; only damaged BTF has types that contain themselves.
_DEPTH_MAX = 64


class NotInBtf(Exception):
    """BTF does not say enough of a type to place an argument of it; the message says why."""


@dataclass(frozen=True, eq=False)
class Parameter:
    """One parameter of a signature."""

    name: str
    # None where BTF does not say enough; `unknown` says why then.
    type: CType | None
    unknown: str
    # Returns the declaration of a name with its type.
    _declare: Callable[[str], str] = field(repr=False)

    @property
    def declared(self) -> str:
        """The parameter as C declares it, "unsigned long addr"."""
        return self._declare(self.name)

    @property
    def spelling(self) -> str:
        """Its type as C writes it."""
        return self._declare("")

    @property
    def alignments(self) -> tuple[int, ...]:
        """
        The alignments in bytes that the copy may have: first the one that BTF leads to.

        Only an aggregate of 16 bytes can have two: a member with an alignment attribute that
        changes no offset, or packing, is not in BTF (see rule B.6).
        """
        if not isinstance(self.type, Composite) or self.type.size != 16:
            return (8,)
        return (16, 8) if self.type.natural_align >= 16 else (8, 16)


@dataclass(frozen=True, eq=False)
class Signature:
    """What functions of one type take and return; each is an object of its own."""

    parameters: tuple[Parameter, ...]
    # Whether further arguments may follow.
    variadic: bool
    # Whether a struct or union is returned by value.
    returns_aggregate: bool
    # Returns the declaration of a name, with its parameters, of what a call returns.
    _declare: Callable[[str], str] = field(repr=False)

    def declared(self, name: str) -> str:
        """Return the prototype of a function as C writes it."""
        words = [parameter.declared for parameter in self.parameters]
        words += ["..."] if self.variadic else []
        return self._declare(f"{name}({', '.join(words) or 'void'})")


@dataclass(frozen=True)
class Prototype:
    """A function as its prototype declares it."""

    name: str
    # The module that has it, empty for the kernel's image.
    module: str
    signature: Signature

    @property
    def declared(self) -> str:
        """The prototype as C writes it."""
        return self.signature.declared(self.name)


class Types:
    """The types of a kernel, or of a module beside those of its kernel."""

    def __init__(self, btf: Btf, module: str = "", base: Types | None = None) -> None:
        self._btf = btf
        self._module = module
        self._base = base
        self._types: dict[int, CType | str] = {}
        # Many functions have a parameter of the same name and type.
        self._parameters: dict[Part, Parameter] = {}
        self._signatures: dict[int, Signature] = {}

    def prototypes(self) -> Iterator[Prototype]:
        """Yield a prototype for each function, in BTF's order; raises UnreadableBtf."""
        for function in self._btf.functions:
            of = self._btf.target(function)
            if of not in self._signatures:
                self._signatures[of] = self._signature(of)
            yield Prototype(self._btf.name(function), self._module, self._signatures[of])

    def _signature(self, type_: int) -> Signature:
        if self._btf.kind(type_) is not Kind.FUNC_PROTO:
            raise UnreadableBtf("a function in it has no prototype")
        parts = list(self._btf.parameters(type_))
        variadic = bool(parts) and parts[-1] == Part("", 0)
        named = parts[:-1] if variadic else parts
        returned = self._btf.target(type_)
        declare = functools.partial(self.declaration, returned)
        by_value = self._btf.kind(self.plain(returned)) in AGGREGATES
        return Signature(tuple(map(self._parameter, named)), variadic, by_value, declare)

    def _parameter(self, part: Part) -> Parameter:
        if part.type < self._btf.first and self._base:
            return self._base._parameter(part)
        if part not in self._parameters:
            declare = functools.partial(self.declaration, part.type)
            made = Parameter(part.name, *self._argument(part.type), declare)
            self._parameters[part] = made
        return self._parameters[part]

    def _argument(self, type_: int) -> tuple[CType | None, str]:
        try:
            # C passes an array as a pointer, so what is an array in BTF is a vector.
            if self._btf.kind(self.plain(type_)) is Kind.ARRAY:
                raise NotInBtf("a vector, of which BTF has the elements alone")
            return self.type(type_), ""
        except NotInBtf as error:
            return None, str(error)

    def plain(self, type_: int) -> int:
        """Return a type without its qualifiers and other names."""
        for _ in range(_DEPTH_MAX):
            if self._btf.kind(type_) not in _TRANSPARENT:
                return type_
            type_ = self._btf.target(type_)
        raise UnreadableBtf("a type in it refers to itself")

    def type(self, type_: int) -> CType:
        """Return a type as the model has it; raises NotInBtf."""
        if type_ < self._btf.first and self._base:
            return self._base.type(type_)
        if type_ not in self._types:
            # What is found by whoever asks for it on the way.
            self._types[type_] = "a type that contains itself"
            try:
                self._types[type_] = self._made(self.plain(type_))
            except NotInBtf as error:
                self._types[type_] = str(error)
        found = self._types[type_]
        if isinstance(found, str):
            raise NotInBtf(found)
        return found

    def _made(self, type_: int) -> CType:
        btf = self._btf
        match btf.kind(type_):
            case Kind.PTR:
                return POINTER
            case Kind.INT | Kind.ENUM | Kind.ENUM64 | Kind.FLOAT as kind:
                return _scalar(kind, btf.name(type_), btf.size(type_))
            case Kind.ARRAY:
                element, count = btf.array(type_)
                return Array(self.type(element), count)
            case Kind.STRUCT | Kind.UNION as kind:
                return self._composite(type_, kind)
            case Kind.FWD:
                raise NotInBtf("a struct or union that is only declared")
            case kind:
                raise NotInBtf(f"a {kind.name}, which no argument can be")

    def _composite(self, type_: int, kind: Kind) -> CType:
        btf = self._btf
        name, size = btf.name(type_), btf.size(type_)
        if name == VA_LIST.tag and size == VA_LIST.size:
            return VA_LIST
        members = []
        align = 1
        for part in btf.members(type_):
            inner = self.type(part.type)
            bits = (part.start, part.width) if part.width else None
            members.append(Member(part.name, inner, part.start // 8, bits))
            # A member whose offset or whose struct's size does not fit its alignment is packed.
            if (bits or part.start % (8 * inner.align) == 0) and size % inner.align == 0:
                align = max(align, inner.align)
        keyword = kind.name.lower()
        return Composite(keyword, name, tuple(members), size, align, align)

    def declaration(self, type_: int, name: str, depth: int = 0) -> str:
        """Return the declaration of `name` with a type, as C writes it."""
        if depth > _DEPTH_MAX:
            raise UnreadableBtf("a type in it refers to itself")
        btf, deeper = self._btf, depth + 1
        kind = btf.kind(type_)
        if kind is Kind.VOID:
            return _joined("void", name)
        target = btf.target(type_)
        if kind is Kind.PTR:
            inner = f"*{name}"
            far = btf.kind(target) in (Kind.ARRAY, Kind.FUNC_PROTO)
            return self.declaration(target, f"({inner})" if far else inner, deeper)
        if kind in _QUALIFIERS:
            if btf.kind(target) is Kind.PTR:
                return self.declaration(target, _joined(_QUALIFIERS[kind], name), deeper)
            return f"{_QUALIFIERS[kind]} {self.declaration(target, name, deeper)}"
        if kind is Kind.TYPE_TAG:
            return self.declaration(target, name, deeper)
        if kind is Kind.ARRAY:
            element, count = btf.array(type_)
            return self.declaration(element, f"{name}[{count}]", deeper)
        if kind is Kind.FUNC_PROTO:
            parts = btf.parameters(type_)
            words = (self.declaration(p.type, "", deeper) if p.type else "..." for p in parts)
            return self.declaration(target, f"{name}({', '.join(words) or 'void'})", deeper)
        return _joined(_keyword(kind, btf.flag(type_)) + (btf.name(type_) or "{…}"), name)


def _joined(word: str, name: str) -> str:
    return f"{word} {name}" if name else word


def _keyword(kind: Kind, flag: bool) -> str:
    match kind:
        case Kind.STRUCT | Kind.UNION | Kind.ENUM:
            return f"{kind.name.lower()} "
        case Kind.FWD:
            return "union " if flag else "struct "
        case Kind.ENUM64:
            return "enum "
        case _:
            return ""


@functools.lru_cache
def _scalar(kind: Kind, name: str, size: int) -> Scalar:
    known = _FLOATS.get(name)
    if known and known.size == size:
        return known
    if kind is Kind.FLOAT:
        raise NotInBtf(f"{name}, a floating-point type of {size} bytes that is not known here")
    if size not in _INTEGERS:
        raise NotInBtf(f"{name}, an integer of {size} bytes that is not known here")
    return Scalar(name, size, TypeKind.INTEGER)
