# SPDX-License-Identifier: GPL-2.0-only
"""
What an empty BPF program at a function's entry or exit does to the function's arguments.

It is attached to the cases' functions, and the cases are played: what it changes shows in the
verdict, and has to be what the tracer's rule says.
"""

from __future__ import annotations

import base64
import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.guest import cpio
from harness.inspect.guest import Guest, booted
from harness.kernel.kernel import Kernel, numbers
from harness.model.case import Case
from harness.modules import build as modules
from harness.modules.casegen import symbol
from harness.prototypes import source
from harness.prototypes.btf import Btf, found_in
from harness.run.boot import Contents
from harness.run.plan import Outcome
from harness.toolchain.compiler import GCC
from harness.tracers.reading import Reading, Traced
from harness.tracers.rules import TRACERS
from tests.unit.made_btf import HEADER

SOURCE = Path(__file__).with_name("trampoline.c")
FLAGS = ("-O2", "-Wall", "-Werror", "-ffreestanding", "-nostdlib", "-static",
         "-fno-stack-protector", "-s")  # fmt: skip
MODULE = "probe_targets"


@dataclasses.dataclass(frozen=True)
class Attached:
    """What came of attaching a program to a case's function, and of the play after that."""

    # "attached", or the step that was refused and the error.
    said: str
    # None where it was refused.
    outcome: Outcome | None


def plain(data: bytes) -> bytes:
    """Return BTF with the header of the format's first version, of which newer ones have more."""
    magic, version, flags, size, types, types_size, strings, strings_size = HEADER.unpack_from(data)
    parts = [(types, types_size), (strings, strings_size)]
    bodies = [data[size + start : size + start + length] for start, length in parts]
    head = (magic, version, flags, HEADER.size, 0, types_size, types_size, strings_size)
    return HEADER.pack(*head) + b"".join(bodies)


class Trampolines:
    """A guest in which programs are attached to the cases' functions."""

    def __init__(self, guest: Guest, catalog: Catalog) -> None:
        self._guest = guest
        self._none = catalog.variants["none"]
        kernel = source.of_kernel(guest.kernel).images[0]
        base = Btf(found_in(source._raw(kernel)) or b"")
        said = guest.run(f"/bin/busybox base64 -w 0 /sys/kernel/btf/{MODULE}")
        own = Btf(plain(base64.b64decode(said.output)), base)
        self.functions = {own.name(one): one for one in own.functions}

    def attached(self, where: str, case: Case) -> Attached:
        number = self.functions[symbol(case, "target")]
        begin = f"/bin/trampoline {where} {MODULE} {number} >/said & echo $! >/pid"
        self._guest.run(f"rm -f /said; {begin}; until [ -s /said ]; do :; done")
        said = self._guest.run("/bin/busybox cat /said").output.strip()
        outcome = None
        if said == "attached":
            outcome = self._guest.play(self._none, case)
            self._guest.run("kill $(/bin/busybox cat /pid)")
        return Attached(said, outcome)


@pytest.fixture(scope="module")
def trampolines(
    kernel: Kernel, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trampolines]:
    program = tmp_path_factory.mktemp("program") / "trampoline"
    subprocess.run([GCC.program, *FLAGS, "-o", program, SOURCE], check=True)
    built = modules.build(kernel, list(catalog.cases.values()))
    entry = cpio.file("bin/trampoline", program.read_bytes(), executable=True)
    with booted(kernel, built, contents=Contents(added=cpio.archive([entry]))) as guest:
        yield Trampolines(guest, catalog)


def by_rule(name: str, kernel: Kernel, case: Case) -> Reading:
    major, minor = numbers(kernel.release)[:2]
    (tracer,) = [one for one in TRACERS if one.name == name and one.has((major, minor))]
    types = case.types[: case.named]
    return tracer.rule(Traced(types, case.layout, case.variadic))


@pytest.mark.full
@pytest.mark.parametrize("kernel", ["debian:6.12", "debian:7.2"], indirect=True, scope="module")
@pytest.mark.parametrize("where", ["entry", "exit"])
def test_what_a_program_leaves(
    where: str, kernel: Kernel, trampolines: Trampolines, catalog: Catalog
) -> None:
    wrong = []
    left_wrong = set()
    known = [
        case
        for case in catalog.cases.values()
        if not case.real and symbol(case, "target") in trampolines.functions
    ]
    assert len(known) > 80
    for case in known:
        reading = by_rule(f"f{where}", kernel, case)
        found = trampolines.attached(where, case)
        if bool(reading.refused) != (found.outcome is None):
            wrong.append((case.name, reading.refused, found.said))
        elif found.outcome:
            reasons = " ".join(found.outcome.reasons)
            changed = {i for i in range(len(case.arguments)) if f"argument {i} " in reasons}
            left_wrong |= {case.name} if changed else set()
            if changed != set(reading.corrupts):
                wrong.append((case.name, str(reading.corrupts), reasons))
    assert wrong == []
    # Where stacked arguments are refused, none is left wrong.
    takes_stacked = numbers(kernel.release)[:2] >= (6, 16)
    expected = {"struct-16-aligned", "mix-int128-aligned"}
    assert left_wrong == (expected if where == "exit" and takes_stacked else set())
