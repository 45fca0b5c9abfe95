# SPDX-License-Identifier: GPL-2.0-only
"""The fields of the YAML files of cases, variants and kernels."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.model.case import Agent, Effect, Frame, ObjectKind
from harness.model.context import Context
from harness.model.policy import Rule

# The most bytes that a variant saves, since no stack is larger.
SAVE_MAX = 16384


class TypeFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A struct, union or enum; a list of members alone is a plain struct."""

    # "long", "char[9]", "unsigned int:3", or a struct or union without a name;
    # in an enum "RED", "GREEN = 7".
    members: list[str | TypeFile]
    keyword: Literal["struct", "union", "enum"] = "struct"
    packed: bool = False
    aligned: int = 1


class ArgumentFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An argument whose value matters, or that lies behind a pointer in a struct."""

    type: str
    value: int | None = None
    boxed: bool = False


class ConsumeFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    argument: int
    words: int


class LogFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    format: int
    argument: int


class HandlerFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    dive: int = 0
    assign: Literal["all"] | list[int] = []
    overwrite: int = 0
    consume: ConsumeFile | None = None
    log: LogFile | None = None


class ObjectFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    kind: ObjectKind = ObjectKind.BYTES
    size: int | None = None
    frame: Frame = Frame.CALLER
    writer: Agent | None = None
    # In place of a variable of its own: a forwarded argument.
    argument: int | None = None


class EffectFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a program finds; nothing where it is killed, the same where it notices nothing."""

    intact: str
    kind: Effect = Effect.NONE
    corrupt: str = ""


class RealFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A function of the kernel's own."""

    function: str
    action: str
    effect: EffectFile
    call: int = 1


class CaseFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of configs/cases/NAME.yaml."""

    shows: str
    # "long", "8 x long", a name from `types`; "..." before the variadic arguments.
    arguments: list[str | ArgumentFile]
    types: dict[str, list[str | TypeFile] | TypeFile] = {}
    handler: HandlerFile = HandlerFile()
    context: Context = Context.PROCESS
    frame_pointer: Literal["valid", "invalid"] = "valid"
    forwarded: list[int] = []
    object: ObjectFile | None = None
    nested: Literal["handler", "interrupt"] | None = None
    real: RealFile | None = None


class VariantFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of configs/variants/NAME.yaml."""

    # Not that of a kernel, which needs no file.
    rule: Rule
    saves: str
    origin: str
    # The size of the save buffer in bytes, for rules that have one.
    size: int | None = None


class KernelFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of configs/kernels/NAME.yaml."""

    shows: str
    # The series as the package names have it: "6.1".
    series: str
    flavour: str = "cloud"
    # Suites of the archive that carry the series.
    suites: list[str] = []
