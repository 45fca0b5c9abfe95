# SPDX-License-Identifier: GPL-2.0-only
"""The types of a case in C."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from harness.abi import ctype
from harness.abi.ctype import VA_LIST, Array, Composite, CType, Enumeration, Scalar


def declare(type_: CType, name: str) -> str:
    """Return a C declarator: declare(POINTER, "a") returns "void *a"."""
    if isinstance(type_, Array):
        return declare(type_.base, f"{name}{type_.counts}")
    if isinstance(type_, Composite) and not (type_.tag or type_.typedef):
        return f"{_body(type_)} {name}"
    return ctype.declared(type_.spelling, name)


def named_types(types: Iterable[CType]) -> Iterator[Composite | Enumeration]:
    """Yield the types that need a definition, each after the types of its members."""
    for type_ in types:
        if isinstance(type_, Array):
            yield from named_types([type_.element])
        elif isinstance(type_, Enumeration):
            yield type_
        elif isinstance(type_, Composite) and type_ != VA_LIST:
            yield from named_types(member.type for member in type_.members)
            if type_.tag:
                yield type_


def _body(type_: Composite) -> str:
    members = "".join(
        f"\t{declare(m.type, m.name)}{f' : {m.bits[1]}' if m.bits else ''};\n"
        for m in type_.members
    )
    attributes = " __packed" if type_.packed else ""
    if type_.align > type_.natural_align:
        attributes += f" __aligned({type_.align})"
    head = f"{type_.keyword} {type_.tag}" if type_.tag else type_.keyword
    return f"{head} {{\n{members}}}{attributes}"


def _literal(value: int) -> str:
    if value == -(1 << 63):
        return f"({value + 1}L - 1)"
    return f"{value}UL" if value >> 63 > 0 else f"{value}L"


def define(type_: Composite | Enumeration) -> str:
    if isinstance(type_, Composite):
        return f"{_body(type_)};\n"
    # An enumerator's own name would be visible to all cases, so each gets a numbered one.
    values = "".join(
        f"\t{type_.tag}__{index} = {_literal(value)},\n"
        for index, (_, value) in enumerate(type_.values)
    )
    return f"{type_.spelling} {{\n{values}}}{' __packed' if type_.packed else ''};\n"


_TAGGED = r"\b(struct|union|enum) (\w+)"


def declared_tags(types: Iterable[CType]) -> Iterator[str]:
    """Yield declarations of the structs, unions and enums that pointers point at."""
    for type_ in types:
        if isinstance(type_, Array):
            yield from declared_tags([type_.element])
        elif isinstance(type_, Composite):
            yield from declared_tags(member.type for member in type_.members)
        elif type_.kind is ctype.TypeKind.POINTER:
            yield from (f"{match[0]};\n" for match in re.finditer(_TAGGED, type_.spelling))


def renamed(type_: CType, namespace: str) -> CType:
    """Return the type with a namespace before its tag, and before its members' and targets'."""
    if isinstance(type_, Array):
        return replace(type_, element=renamed(type_.element, namespace))
    if isinstance(type_, Scalar):
        spelling = re.sub(_TAGGED, rf"\1 {namespace}__\2", type_.spelling)
        if isinstance(type_, Enumeration):
            return replace(type_, spelling=spelling, tag=f"{namespace}__{type_.tag}")
        return replace(type_, spelling=spelling)
    if type_ == VA_LIST:
        return type_
    members = tuple(
        member._replace(type=renamed(member.type, namespace)) for member in type_.members
    )
    return replace(type_, tag=type_.tag and f"{namespace}__{type_.tag}", members=members)
