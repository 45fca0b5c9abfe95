# SPDX-License-Identifier: GPL-2.0-only
"""Reads the files of cases and variants."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from harness import printable
from harness.abi import ctype
from harness.abi.declaration import KEYWORDS, Reader, check_extent, enumerators, is_identifier
from harness.cases.checks import ARGUMENTS_MAX, ARGUMENTS_SIZE_MAX, check
from harness.cases.schema import (
    SAVE_MAX,
    ArgumentFile,
    CaseFile,
    ObjectFile,
    RealFile,
    TypeFile,
    VariantFile,
)
from harness.errors import ConfigError
from harness.host.yamlfile import read
from harness.model.case import (
    Agent,
    Argument,
    Case,
    Consume,
    Effect,
    Frame,
    Handler,
    Log,
    Object,
    ObjectKind,
    Real,
    default_value,
    object_size,
)
from harness.model.policy import Policy, Rule, Variant

# The most characters of a case's name: older kernels cut a symbol at 127 characters.
NAME_MAX = 80


def _a(keyword: str) -> str:
    return f"an {keyword}" if keyword == "enum" else f"a {keyword}"


class _Types(Reader):
    """The types that one case can name."""

    def __init__(self, types: Mapping[str, list[str | TypeFile] | TypeFile]) -> None:
        super().__init__()
        for place, body in types.items():
            file = body if isinstance(body, TypeFile) else TypeFile(members=body)
            keyword, _, name = place.rpartition(" ")
            if keyword in ("union", "enum") and file.keyword == "struct":
                file = msgspec.structs.replace(file, keyword=keyword)
            if name in self.known or name in KEYWORDS:
                raise ConfigError(
                    f"types.{place}: '{name}' is a type already; choose another name."
                )
            if not is_identifier(name) or keyword not in ("", file.keyword):
                raise ConfigError(f"types.{place}: no name for {_a(file.keyword)}.")
            self.tag(file.keyword, name)
            self.known[name] = self._defined(f"types.{place}", name, file)

    def _defined(self, place: str, tag: str, file: TypeFile) -> ctype.CType:
        if not file.members:
            raise ConfigError(f"{place}: {_a(file.keyword)} needs a member.")
        if file.aligned < 1 or file.aligned & (file.aligned - 1):
            raise ConfigError(f"{place}.aligned: not a power of two.")
        if file.keyword == "enum":
            return self._enumeration(place, tag, file)
        members = [
            self.member(member)
            if isinstance(member, str)
            else self._defined(f"{place}.members[{index}]", "", member)
            for index, member in enumerate(file.members)
        ]
        made = ctype.composite(file.keyword, tag, members, packed=file.packed, aligned=file.aligned)
        check_extent(place, made)
        return made

    def _enumeration(self, place: str, tag: str, file: TypeFile) -> ctype.CType:
        names = [member for member in file.members if isinstance(member, str)]
        if len(names) < len(file.members) or file.aligned > 1 or not tag:
            raise ConfigError(
                f"{place}: an enum has a name, and values such as 'RED' or 'GREEN = 7';"
                " it is not aligned."
            )
        try:
            values = enumerators(names)
            return ctype.enumeration(tag, tuple(values.items()), packed=file.packed)
        except (ConfigError, ValueError) as error:
            raise ConfigError(f"{place}: {str(error).rstrip('.')}.") from error


def _arguments(file: CaseFile, types: _Types) -> tuple[tuple[Argument, ...], int]:
    """Return the arguments, and how many of them are in the prototype."""
    arguments: list[Argument] = []
    named = None
    for entry in file.arguments:
        if entry == "...":
            if named is not None or entry is file.arguments[-1]:
                raise ConfigError("arguments: give '...' once, before the variadic ones.")
            named = len(arguments)
            continue
        value, boxed = None, False
        text, count = entry, 1
        if isinstance(entry, ArgumentFile):
            text, value, boxed = entry.type, entry.value, entry.boxed
        assert isinstance(text, str)
        if match := re.fullmatch(r"(\d+) x (.+)", text):
            count, text = int(match[1]), match[2]
        type_ = types.parameter(text)
        if not 1 <= count <= ARGUMENTS_MAX - len(arguments):
            raise ConfigError(f"arguments: give 1 to {ARGUMENTS_MAX}.")
        if type_.size > ARGUMENTS_SIZE_MAX:
            raise ConfigError(f"arguments: more than {ARGUMENTS_SIZE_MAX} bytes in all.")
        for _ in range(count):
            arguments.append(Argument(type_, _value(type_, len(arguments), value), boxed))
    return tuple(arguments), len(arguments) if named is None else named


def _value(type_: ctype.CType, index: int, value: int | None) -> bytes:
    if value is None:
        return default_value(type_, index)
    if type_ == ctype.VA_LIST or (type_ == ctype.BOOL and value not in (0, 1)):
        raise ConfigError(f"arguments: {value} is not a {type_.spelling}.")
    if not -(1 << 8 * type_.size - 1) <= value < 1 << 8 * type_.size:
        raise ConfigError(f"arguments: {value:#x} does not fit {type_.size} bytes.")
    return (value % (1 << 8 * type_.size)).to_bytes(type_.size, "little")


def _object(file: ObjectFile, arguments: Sequence[Argument]) -> Object:
    if file.argument is not None:
        if not 0 <= file.argument < len(arguments):
            raise ConfigError(f"object.argument: there is no argument {file.argument}.")
        if (file.kind, file.size, file.frame) != (ObjectKind.BYTES, None, Frame.CALLER):
            raise ConfigError("object: an argument has a kind, a size and a frame of its own.")
        size = arguments[file.argument].type.size
        return Object(file.kind, size, Frame.OUTER, file.writer, file.argument)
    try:
        size = object_size(file.kind, file.size)
    except ValueError as error:
        raise ConfigError(f"object.size: {error}.") from error
    return Object(file.kind, size, file.frame, file.writer)


def _real(file: RealFile) -> Real:
    effect = file.effect
    unseen = effect.kind in (Effect.NONE, Effect.OOPS)
    if unseen == bool(effect.corrupt) or effect.corrupt == effect.intact:
        raise ConfigError(
            "real.effect.corrupt: give what is found in place of 'intact', for a wrong value or"
            " what is garbled; nothing else has one."
        )
    corrupt = effect.intact if effect.kind is Effect.NONE else effect.corrupt
    return Real(file.function, file.action, file.call, effect.kind, effect.intact, corrupt)


def build_case(name: str, file: CaseFile) -> Case:
    """
    Check a case file and return its case.

    Raises ConfigError with a sentence that does not name the file.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > NAME_MAX:
        raise ConfigError(
            "a case is named in lower-case words joined by hyphens, of at most"
            f" {NAME_MAX} characters."
        )
    types = _Types(file.types)
    arguments, named = _arguments(file, types)
    made = _object(file.object, arguments) if file.object else None
    if made and made.argument is not None:
        # The caller passes what the object holds.
        own = arguments[made.argument]._replace(value=made.before(0))
        arguments = (*arguments[: made.argument], own, *arguments[made.argument + 1 :])
    if file.real:
        entries = (entry for entry in file.arguments if isinstance(entry, ArgumentFile))
        if any(entry.value is not None for entry in entries):
            raise ConfigError("arguments: only the kernel knows what it passes; give no value.")
        arguments = tuple(argument._replace(value=b"") for argument in arguments)
    assign = file.handler.assign
    case = Case(
        name=name,
        shows=printable.line(file.shows),
        arguments=arguments,
        named=named,
        handler=Handler(
            dive=file.handler.dive,
            assign=tuple(range(named)) if assign == "all" else tuple(assign),
            overwrite=file.handler.overwrite,
            consume=(
                Consume(file.handler.consume.argument, file.handler.consume.words)
                if file.handler.consume
                else None
            ),
            log=Log(file.handler.log.format, file.handler.log.argument)
            if file.handler.log
            else None,
        ),
        context=file.context,
        valid_fp=file.frame_pointer == "valid",
        forwarded=tuple(file.forwarded),
        object=made,
        nested=Agent(file.nested) if file.nested else None,
        real=_real(file.real) if file.real else None,
    )
    check(case)
    return case


def load_case(path: Path) -> Case:
    """Read one case file; raise ConfigError that names the file."""
    file = read(path, CaseFile)
    try:
        return build_case(path.stem, file)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.sentence}", error.hint) from error


def load_variant(path: Path) -> Variant:
    """Read one variant file; raise ConfigError that names the file."""
    file = read(path, VariantFile)
    rule = file.rule
    if rule is Rule.KERNEL:
        raise ConfigError(f"{path}: rule: 'kernel' is what a tree's own jprobes do.", "See --set.")
    if rule.sized != (file.size is not None):
        has = "needs one, in bytes" if rule.sized else "has none"
        raise ConfigError(f"{path}: size: rule '{rule.value}' {has}.")
    size = file.size or 0
    if not 0 <= size <= SAVE_MAX:
        raise ConfigError(f"{path}: size: give 0 to {SAVE_MAX} bytes.")
    saves, origin = printable.line(file.saves), printable.line(file.origin)
    return Variant(path.stem, Policy(rule, size), saves, origin)
