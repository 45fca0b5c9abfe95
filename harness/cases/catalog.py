# SPDX-License-Identifier: GPL-2.0-only
"""Cases, variants and kernels, read from YAML files and checked."""

from __future__ import annotations

import fnmatch
import functools
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from harness import printable, resources
from harness.abi import ctype
from harness.abi.declaration import KEYWORDS, Reader, check_extent, enumerators, is_identifier
from harness.errors import ConfigError, nearest
from harness.host.yamlfile import read
from harness.model.case import (
    Agent,
    Argument,
    Case,
    Consume,
    Frame,
    Handler,
    Object,
    ObjectKind,
    default_value,
    object_size,
)
from harness.model.context import Context
from harness.model.policy import Changes, Policy, Rule, Variant

T = TypeVar("T")


class TypeFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A struct, union or enum; without these, a list of members is a plain struct."""

    # "long", "char[9]", "unsigned int:3", or a struct or union without a name;
    # of an enum "RED", "GREEN = 7".
    members: list[str | TypeFile]
    keyword: Literal["struct", "union", "enum"] = "struct"
    packed: bool = False
    aligned: int = 1


class ArgumentFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An argument whose value matters."""

    type: str
    value: int


class ConsumeFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    argument: int
    words: int


class HandlerFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    dive: int = 0
    assign: Literal["all"] | list[int] = []
    overwrite: int = 0
    consume: ConsumeFile | None = None


class ObjectFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    kind: ObjectKind = ObjectKind.BYTES
    size: int | None = None
    frame: Frame = Frame.CALLER
    writer: Agent | None = None


class CaseFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """configs/cases/NAME.yaml"""

    shows: str
    # "long", "8 x long", "..." before the variadic ones, a name from `types`.
    arguments: list[str | ArgumentFile]
    types: dict[str, list[str | TypeFile] | TypeFile] = {}
    handler: HandlerFile = HandlerFile()
    context: Context = Context.PROCESS
    frame_pointer: Literal["valid", "invalid"] = "valid"
    forwarded: list[int] = []
    object: ObjectFile | None = None
    nested: Literal["handler", "interrupt"] | None = None


class VariantFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """configs/variants/NAME.yaml"""

    rule: Literal["none", "fixed", "v15", "fp-delta", "thread-size"]
    saves: str
    origin: str
    # In bytes, of the rules that have a size.
    size: int | None = None


class KernelFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """configs/kernels/NAME.yaml"""

    shows: str
    # As in the package names: "6.1".
    series: str
    flavour: str = "cloud"
    # Suites of the archive that carry the series.
    suites: list[str] = []


# Bytes of arguments, in whatever context.
ARGUMENTS_SIZE_MAX = max(context.traits.arguments_max for context in Context)
# A stack area that no frame of the test module comes near.
AREA_MAX = 1024
ARGUMENTS_MAX = 64
# Of a case's name: older kernels end a symbol at 127 characters.
NAME_MAX = 80
DIVE_MAX = 4096
# Of a folder: a test module with that many takes an hour to compile.
FILES_MAX = 10_000
SAVE_MAX = 16384


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
    """The arguments, and how many of them are in the prototype."""
    arguments: list[Argument] = []
    named = None
    for entry in file.arguments:
        if entry == "...":
            if named is not None or entry is file.arguments[-1]:
                raise ConfigError("arguments: give '...' once, before the variadic ones.")
            named = len(arguments)
            continue
        value = None
        text, count = entry, 1
        if isinstance(entry, ArgumentFile):
            text, value = entry.type, entry.value
        assert isinstance(text, str)
        if match := re.fullmatch(r"(\d+) x (.+)", text):
            count, text = int(match[1]), match[2]
        type_ = types.parameter(text)
        if not 1 <= count <= ARGUMENTS_MAX - len(arguments):
            raise ConfigError(f"arguments: give 1 to {ARGUMENTS_MAX}.")
        if type_.size > ARGUMENTS_SIZE_MAX:
            raise ConfigError(f"arguments: more than {ARGUMENTS_SIZE_MAX} bytes in all.")
        for _ in range(count):
            arguments.append(Argument(type_, _value(type_, len(arguments), value)))
    return tuple(arguments), len(arguments) if named is None else named


def _value(type_: ctype.CType, index: int, value: int | None) -> bytes:
    if value is None:
        return default_value(type_, index)
    if type_ == ctype.VA_LIST or (type_ == ctype.BOOL and value not in (0, 1)):
        raise ConfigError(f"arguments: {value} is not a {type_.spelling}.")
    if not -(1 << 8 * type_.size - 1) <= value < 1 << 8 * type_.size:
        raise ConfigError(f"arguments: {value:#x} does not fit {type_.size} bytes.")
    return (value % (1 << 8 * type_.size)).to_bytes(type_.size, "little")


def _scalars(type_: ctype.CType) -> Iterable[ctype.Scalar]:
    if isinstance(type_, ctype.Scalar):
        yield type_
    elif isinstance(type_, ctype.Array):
        yield from _scalars(type_.element)
    else:
        for member in type_.members:
            yield from _scalars(member.type)


def _check_types(case: Case) -> None:
    """Refuse what no kernel function can take."""
    for index, argument in enumerate(case.arguments):
        for scalar in _scalars(argument.type):
            if scalar.kind in (ctype.TypeKind.FLOAT, ctype.TypeKind.VECTOR):
                raise ConfigError(
                    f"argument {index}: a kernel function cannot take '{scalar.spelling}',"
                    " as arm64 kernels are built with -mgeneral-regs-only."
                )
        if index < case.named:
            continue
        if argument.type.size < 4 or case.layout.placements[index].by_reference:
            raise ConfigError(
                f"argument {index}: a variadic '{argument.type.spelling}' is not"
                " supported; pass 4 to 16 bytes."
            )


def _check_reference(case: Case, index: int) -> None:
    """Refuse what would send the probed function after a wrong address."""
    placement, handler = case.layout.placements[index], case.handler
    slot = placement.stack if placement.by_reference else None
    if slot is not None and slot < handler.overwrite:
        raise ConfigError(
            f"handler.overwrite: reaches the address of argument {index}, which the probed"
            " function follows."
        )
    if index in case.forwarded and not placement.by_reference:
        raise ConfigError(f"forwarded: argument {index} is not passed by reference.")
    va_list = case.arguments[index].type == ctype.VA_LIST
    if va_list and (index in case.forwarded or index in handler.assign):
        raise ConfigError(f"argument {index}: a va_list can only be consumed.")


def _check_handler(case: Case) -> None:
    """Refuse a handler that would kill the guest or undo itself."""
    handler, count = case.handler, len(case.arguments)
    for index in (*handler.assign, *case.forwarded):
        if not 0 <= index < count:
            raise ConfigError(f"there is no argument {index}; the last is {count - 1}.")
    for indices in (handler.assign, case.forwarded):
        if len(set(indices)) < len(indices):
            raise ConfigError("handler.assign, forwarded: name an argument only once.")
    if handler.assign and handler.overwrite:
        raise ConfigError("handler: assign and overwrite would undo each other.")
    if any(index >= case.named for index in handler.assign):
        raise ConfigError("handler.assign: C has no name for a variadic argument.")
    if not 0 <= handler.overwrite <= case.layout.stack_size:
        raise ConfigError(
            f"handler.overwrite: {handler.overwrite} bytes from SP reach past the argument"
            f" area of {case.layout.stack_size} bytes, into the caller's frame."
        )
    if not 0 <= handler.dive <= DIVE_MAX:
        raise ConfigError(f"handler.dive: give 0 to {DIVE_MAX} bytes.")
    for index in range(count):
        _check_reference(case, index)
    if consume := handler.consume:
        if not 0 <= consume.argument < count or (
            case.arguments[consume.argument].type != ctype.VA_LIST
        ):
            raise ConfigError("handler.consume: needs an argument that is a va_list.")
        if not 1 <= consume.words <= 12:
            raise ConfigError("handler.consume.words: give 1 to 12.")
    if case.object and not 1 <= case.object.size <= 256:
        raise ConfigError("object.size: give 1 to 256 bytes.")
    writer = case.object.writer if case.object else None
    if case.context is Context.HARDIRQ and Agent.INTERRUPT in (writer, case.nested):
        raise ConfigError("context: a handler in a hard interrupt is not interrupted.")


def _object(file: ObjectFile) -> Object:
    try:
        size = object_size(file.kind, file.size)
    except ValueError as error:
        raise ConfigError(f"object.size: {error}.") from error
    return Object(file.kind, size, file.frame, file.writer)


def build_case(name: str, file: CaseFile) -> Case:
    """
    Check a case file and turn it into a case.

    Raises ConfigError with a sentence that does not name the file.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > NAME_MAX:
        raise ConfigError(
            "a case is named in lower-case words joined by hyphens, of at most"
            f" {NAME_MAX} characters."
        )
    types = _Types(file.types)
    arguments, named = _arguments(file, types)
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
        ),
        context=file.context,
        valid_fp=file.frame_pointer == "valid",
        forwarded=tuple(file.forwarded),
        object=_object(file.object) if file.object else None,
        nested=Agent(file.nested) if file.nested else None,
    )
    check(case)
    return case


def check(case: Case) -> None:
    """Refuse what cannot be played; raises ConfigError."""
    if not 1 <= len(case.arguments) <= ARGUMENTS_MAX:
        raise ConfigError(f"arguments: give 1 to {ARGUMENTS_MAX}.")
    if not case.named:
        raise ConfigError("arguments: C needs a named argument before '...'.")
    if case.layout.stack_size > AREA_MAX:
        raise ConfigError(f"arguments: more than {AREA_MAX} bytes on the stack.")
    limit = case.context.traits.arguments_max
    if sum(argument.type.size for argument in case.arguments) > limit:
        raise ConfigError(
            f"arguments: more than {limit} bytes in all (context {case.context.value})."
        )
    _check_types(case)
    _check_handler(case)


def load_case(path: Path) -> Case:
    """Read one case file; raises ConfigError that names it."""
    file = read(path, CaseFile)
    try:
        return build_case(path.stem, file)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.sentence}", error.hint) from error


def load_variant(path: Path) -> Variant:
    """Read one variant file; raises ConfigError that names it."""
    file = read(path, VariantFile)
    rule = Rule(file.rule)
    if rule.sized != (file.size is not None):
        has = "needs one, in bytes" if rule.sized else "has none"
        raise ConfigError(f"{path}: size: rule '{file.rule}' {has}.")
    size = file.size or 0
    if not 0 <= size <= SAVE_MAX:
        raise ConfigError(f"{path}: size: give 0 to {SAVE_MAX} bytes.")
    saves, origin = printable.line(file.saves), printable.line(file.origin)
    return Variant(path.stem, Policy(rule, size), saves, origin)


def _listed(folder: Path) -> list[Path]:
    """The YAML files of a folder; raises ConfigError for more than anybody wrote."""
    files = list(itertools.islice(folder.glob("*.yaml"), FILES_MAX + 1))
    if len(files) > FILES_MAX:
        raise ConfigError(
            f"{folder} has more than {FILES_MAX:,} YAML files.",
            "Give --case-dir a folder of cases, or play them folder by folder.",
        )
    return sorted(files)


class Catalog:
    """All that can be named on the command line."""

    def __init__(self, case_dirs: Sequence[Path] = ()) -> None:
        self._roots = [resources.configs()]
        for root in case_dirs:
            if not root.is_dir():
                raise ConfigError(f"{root}: no such directory.", "Check --case-dir.")
            self._roots.append(root)

    def _files(self, folder: str) -> list[Path]:
        files = []
        for root in self._roots:
            files += _listed(root / folder)
        # A user's directory may also hold nothing but cases.
        if folder == "cases":
            for root in self._roots[1:]:
                files += _listed(root)
        return files

    @functools.cached_property
    def cases(self) -> dict[str, Case]:
        """By name; a user's case replaces ours of the same name."""
        return {path.stem: load_case(path) for path in self._files("cases")}

    @functools.cached_property
    def variants(self) -> dict[str, Variant]:
        """By name, from least saved to most."""
        variants = [load_variant(path) for path in self._files("variants")]
        order = list(Rule)
        variants.sort(key=lambda v: (order.index(v.policy.rule), v.policy.size, v.name))
        return {variant.name: variant for variant in variants}

    @functools.cached_property
    def kernels(self) -> dict[str, KernelFile]:
        """By name; the file debian-6.1.yaml is the kernel debian:6.1."""
        return {
            path.stem.replace("-", ":", 1): read(path, KernelFile)
            for path in self._files("kernels")
        }

    def select_cases(self, patterns: Sequence[str]) -> list[Case]:
        """Cases that match any of the shell patterns; all, where there are none."""
        return _select("case", self.cases, patterns)

    def select_variants(self, patterns: Sequence[str]) -> list[Variant]:
        """
        Variants that match.

        `fixed:N` makes one of any size; `tree` and `patch:FILE` are what a tree's
        own jprobes do, as it is and with a patch.
        """
        known = dict(self.variants)
        names = []
        for text in patterns:
            if match := re.fullmatch(r"fixed:(\d{1,9})", text):
                size = int(match[1])
                if size > SAVE_MAX:
                    raise ConfigError(
                        f"variant '{text}': no stack is larger than {SAVE_MAX} bytes."
                    )
                known[text] = Variant(
                    text, Policy(Rule.FIXED, size), f"min({size}, stack top - SP)", "you"
                )
            elif text == "tree" or text.startswith("patch:"):
                known[text] = own_variant(text, Changes(patches=tuple(_patches(text))))
            names.append(text)
        return _select("variant", known, names)


def _patches(text: str) -> list[str]:
    return [text.removeprefix("patch:")] if text.startswith("patch:") else []


def own_variant(name: str, changes: Changes) -> Variant:
    """What a tree's own jprobes do, with something done to the tree."""
    return Variant(name, Policy(Rule.KERNEL), "what the tree's own jprobes do", "you", changes)


def _select(what: str, known: Mapping[str, T], patterns: Sequence[str]) -> list[T]:
    chosen: dict[str, T] = {}
    for text in patterns or ["*"]:
        names = [text] if text in known else fnmatch.filter(known, text)
        if not names:
            raise ConfigError(
                f"There is no {what} '{text}'.{nearest(text, known)}",
                f"See: jprobe-harness list {what}s",
            )
        chosen.update((name, known[name]) for name in names)
    return list(chosen.values())
