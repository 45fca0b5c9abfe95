# SPDX-License-Identifier: GPL-2.0-only
"""What BTF says of the functions that are traced."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from harness.abi import aapcs64
from harness.errors import ConfigError
from harness.inspect.guest import Guest
from harness.model.case import Case
from harness.modules.casefunctions import symbol
from harness.prototypes import source
from harness.prototypes.btf import Btf, with_first_header
from harness.prototypes.types import AGGREGATES, Types
from harness.tracers.reading import Traced
from harness.tracing.function import MODULE, TRACEFS, Function


@dataclass(frozen=True)
class Described:
    """A function in BTF."""

    number: int
    # Of its parameters.
    names: tuple[str, ...]
    # Whether it returns a struct or union by value.
    returns_aggregate: bool
    # Whether ftrace may patch it.
    traceable: bool = True


def function(case: Case, known: Mapping[str, Described]) -> Function:
    """Return a case's function, of which BTF may say something."""
    name = case.real.function if case.real else symbol(case, "target")
    types = case.types[: case.named]
    found = known.get(name)
    traced = Traced(
        types,
        aapcs64.place(types),
        case.variadic,
        btf=found is not None,
        names=found.names if found else tuple(f"a{index}" for index in range(case.named)),
        returns_aggregate=bool(found and found.returns_aggregate),
        modifiable=not case.real,
        traceable=found.traceable if found else not case.real,
    )
    return Function(case, name, found.number if found else 0, traced)


def described(guest: Guest, kernels_own: Collection[str]) -> Mapping[str, Described]:
    """
    Return the functions of the test module, and those of the kernel that are named.

    There are none where the kernel has no BTF; many tracers do without.
    """
    try:
        base = source.base(source.of_kernel(guest.kernel))
    except ConfigError:
        return {}
    traceable = _traceable(guest, kernels_own) if kernels_own else set()
    found = {
        name: replace(describe(base, one), traceable=name in traceable)
        for one in base.functions
        if (name := base.name(one)) in kernels_own
    }
    said = guest.run(f"/bin/busybox base64 -w 0 /sys/kernel/btf/{MODULE}")
    if said.status == 0:
        own = Btf(with_first_header(base64.b64decode(said.output)), base)
        found |= {own.name(one): describe(own, one) for one in own.functions}
    return found


def _traceable(guest: Guest, names: Collection[str]) -> set[str]:
    pattern = f"^({'|'.join(sorted(names))})$"
    ran = guest.run(f"/bin/busybox grep -E '{pattern}' {TRACEFS}/available_filter_functions", 60)
    return set(ran.output.splitlines())


def describe(btf: Btf, number: int) -> Described:
    """Return what BTF says of a function."""
    prototype = btf.target(number)
    names = tuple(one.name for one in btf.parameters(prototype) if one.type)
    returned = Types(btf).plain(btf.target(prototype))
    return Described(number, names, btf.kind(returned) in AGGREGATES)
