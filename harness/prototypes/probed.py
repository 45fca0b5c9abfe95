# SPDX-License-Identifier: GPL-2.0-only
"""Which cases on functions of a kernel's own the kernel has the functions for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness import resources
from harness.abi import aapcs64
from harness.abi.ctype import CType
from harness.errors import ConfigError
from harness.host import cache
from harness.kernel.kernel import Bootable, Engine
from harness.model.case import Case, Real

if TYPE_CHECKING:
    from harness.prototypes.types import Prototype, Signature

# The folders of our own sources that decide on the result.
MAKERS = ("abi", "prototypes")
_FOUND = "lacking.json"


def lacking(kernel: Bootable, cases: Sequence[Case]) -> dict[str, str]:
    """
    Return why cases cannot be played on a kernel, by name; the others are left out.

    Such a case is on a function that the kernel does not have, or that takes other arguments.
    """
    real = [(case, case.real) for case in cases if case.real]
    if not real:
        return {}
    if kernel.engine is Engine.NATIVE:
        why = "the kernel's own jprobes do not tell who hits them"
        return {case.name: why for case, _ in real}

    def make(folder: Path) -> None:
        (folder / _FOUND).write_bytes(msgspec.json.encode(dict(_lacking(kernel, real))))

    sources = [
        path.read_bytes()
        for name in MAKERS
        for path in sorted((resources.PACKAGE / name).glob("*.py"))
    ]
    asked = [f"{case.name} {one.function} {_places(case.types)}" for case, one in real]
    folder = cache.entry("probed", cache.digest(kernel.key, *asked, *sources), make)
    found: dict[str, str] = msgspec.json.decode((folder / _FOUND).read_bytes())
    return found


def _lacking(kernel: Bootable, real: Sequence[tuple[Case, Real]]) -> Iterator[tuple[str, str]]:
    # Not needed for what is known.
    from harness.prototypes import source

    names = {one.function for _, one in real}
    try:
        # No module's function is probed.
        prototypes = source.read(replace(source.of_kernel(kernel), modules=None))
        known = [prototype for prototype in prototypes if prototype.name in names]
    except ConfigError as error:
        yield from ((case.name, error.sentence.rstrip(".")) for case, _ in real)
        return
    symbols = prototypes.symbols
    for case, one in real:
        name = one.function
        if symbols is not None and name not in symbols:
            yield case.name, f"there is no code of {name}()"
        elif why := _unlike(case, name, [p for p in known if p.name == name]):
            yield case.name, why


def _unlike(case: Case, name: str, found: Sequence[Prototype]) -> str:
    """Return why a case is not on any of the functions of its name, or an empty string."""
    if not found:
        return f"there is no prototype of {name}()"
    if any(_takes(prototype.signature, case) for prototype in found):
        return ""
    return f"the arguments are others: {found[0].signature.declared(name)}"


def _places(types: Sequence[CType]) -> list[tuple[object, ...]]:
    """Return how many bytes there are of each argument, and where."""
    return [
        (type_.size, placed.general, placed.stack, placed.by_reference)
        for type_, placed in zip(types, aapcs64.place(types).placements)
    ]


def _takes(signature: Signature, case: Case) -> bool:
    """Return whether a function takes the same bytes in the same places."""
    types = [parameter.type for parameter in signature.parameters if parameter.type]
    if signature.variadic != case.variadic or len(types) < len(signature.parameters):
        return False
    return _places(types) == _places(case.types[: case.named])
