# SPDX-License-Identifier: GPL-2.0-only
"""Writes a case as the YAML file that harness.cases.catalog reads."""

from __future__ import annotations

import itertools
from typing import Any

import yaml

from harness.abi.ctype import VA_LIST, Array, Composite, CType, Enumeration, Member, declared
from harness.model.case import (
    Argument,
    Case,
    Effect,
    Frame,
    Object,
    ObjectKind,
    Real,
    default_value,
)
from harness.model.context import Context

_LICENSE = "# SPDX-License-Identifier: GPL-2.0-only\n"


def text(case: Case) -> str:
    """Return the content of a case's file, which reads back as an equal case."""
    return _LICENSE + yaml.safe_dump(_document(case), sort_keys=False, default_flow_style=None)


def _document(case: Case) -> dict[str, Any]:
    types: dict[str, Any] = {}
    arguments = _arguments(case, types)
    document: dict[str, Any] = {"shows": case.shows}
    if types:
        document["types"] = types
    document["arguments"] = arguments
    if handler := _handler(case):
        document["handler"] = handler
    if case.context is not Context.PROCESS:
        document["context"] = case.context.value
    if not case.valid_fp:
        document["frame_pointer"] = "invalid"
    if case.forwarded:
        document["forwarded"] = list(case.forwarded)
    if case.object:
        document["object"] = _object(case.object)
    if case.nested:
        document["nested"] = case.nested.value
    if case.real:
        document["real"] = _real(case.real)
    return document


def _arguments(case: Case, types: dict[str, Any]) -> list[Any]:
    """Return the arguments, with equal neighbours counted; composites are added to `types`."""
    words: list[Any] = []
    for index, argument in enumerate(case.arguments):
        if index == case.named:
            words.append("...")
        words.append(_argument(index, argument, types))
    counted: list[Any] = []
    for word, group in itertools.groupby(words):
        count = len(list(group))
        counted.append(f"{count} x {word}" if count > 1 and isinstance(word, str) else word)
    return counted


def _argument(index: int, argument: Argument, types: dict[str, Any]) -> Any:
    name = _type(argument.type, types)
    document: dict[str, Any] = {"type": name}
    if argument.value not in (b"", default_value(argument.type, index)):
        document["value"] = int.from_bytes(argument.value, "little")
    if argument.boxed:
        document["boxed"] = True
    return document if len(document) > 1 else name


def _type(type_: CType, types: dict[str, Any]) -> str:
    if isinstance(type_, Array):
        return declared(_type(type_.base, types), type_.counts)
    if isinstance(type_, Enumeration):
        members = [f"{name} = {value}" for name, value in type_.values]
        body: dict[str, Any] = {"keyword": "enum", "members": members}
        if type_.packed:
            body["packed"] = True
        types[type_.tag] = body
        return type_.tag
    if not isinstance(type_, Composite) or type_ == VA_LIST:
        return type_.spelling
    types[type_.tag] = _composite(type_, types)
    return type_.tag


def _composite(type_: Composite, types: dict[str, Any]) -> Any:
    members = [_member(member, types) for member in type_.members]
    body: dict[str, Any] = {"members": members}
    if type_.keyword != "struct":
        body["keyword"] = type_.keyword
    if type_.packed:
        body["packed"] = True
    if type_.align > type_.natural_align:
        body["aligned"] = type_.align
    return body if len(body) > 1 or not type_.tag else members


def _member(member: Member, types: dict[str, Any]) -> Any:
    if isinstance(member.type, Composite) and not member.type.tag:
        return _composite(member.type, types)
    name = _type(member.type, types)
    return f"{name}:{member.bits[1]}" if member.bits else name


def _handler(case: Case) -> dict[str, Any]:
    handler = case.handler
    document: dict[str, Any] = {}
    if handler.dive:
        document["dive"] = handler.dive
    if handler.assign:
        everything = handler.assign == tuple(range(case.named))
        document["assign"] = "all" if everything else list(handler.assign)
    if handler.overwrite:
        document["overwrite"] = handler.overwrite
    if handler.consume:
        document["consume"] = {
            "argument": handler.consume.argument,
            "words": handler.consume.words,
        }
    if handler.log:
        document["log"] = {"format": handler.log.format, "argument": handler.log.argument}
    return document


def _object(made: Object) -> dict[str, Any]:
    document: dict[str, Any] = {"kind": made.kind.value}
    if made.argument is not None:
        document["argument"] = made.argument
    elif made.kind is ObjectKind.BYTES:
        document["size"] = made.size
    if made.frame is not Frame.CALLER and made.argument is None:
        document["frame"] = made.frame.value
    if made.writer:
        document["writer"] = made.writer.value
    return document


def _real(real: Real) -> dict[str, Any]:
    effect = {"intact": real.intact}
    if real.effect is not Effect.NONE:
        effect["kind"] = real.effect.value
    if real.corrupt and real.corrupt != real.intact:
        effect["corrupt"] = real.corrupt
    document: dict[str, Any] = {"function": real.function, "action": real.action}
    if real.call > 1:
        document["call"] = real.call
    return {**document, "effect": effect}
