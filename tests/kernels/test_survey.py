# SPDX-License-Identifier: GPL-2.0-only
"""Surveys of Debian's kernels, against another reader of BTF and against the machine code."""

from __future__ import annotations

import dataclasses
import functools
import json
import random
import resource
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import settings
from harness.abi import aapcs64
from harness.abi.ctype import Composite, CType, align_up
from harness.cases.catalog import Catalog
from harness.kernel import spec as specs
from harness.kernel.kernel import read_module
from harness.measure import audit
from harness.measure.survey import Function, Survey, place, survey
from harness.prototypes import source
from harness.prototypes.btf import found_in
from tests.kernels.machine_code import Code, Evidence

KERNELS = ("debian:5.10", "debian:6.1", "debian:6.12", "debian:7.2")
# Of the processor, for a kernel whose modules' BTF is in the cache.
SECONDS = 10
# What is drawn of each kernel, by the sort of its functions.
DRAWN = {"stacked": 120, "by reference": 40, "registers": 140}
# How many modules are compared with another reader, which takes a second for each.
MODULES = 12
BPFTOOL = "/usr/sbin/bpftool"


@functools.cache
def files(name: str) -> source.Files:
    return source.of_kernel(specs.resolve(name, Catalog(), settings.load()))


@functools.cache
def surveyed(name: str) -> Survey:
    return survey(source.read(files(name)), Catalog().select_variants([]))


@functools.cache
def machine_code(name: str) -> Code:
    return Code(files(name).images[0].read_bytes())


# An independent count: bpftool reads, and these few lines place.


@dataclass(frozen=True)
class Counted:
    """What a function takes outside of registers: bytes on the stack, sizes by reference."""

    stacked: int
    by_reference: tuple[int, ...]


def types_of(btf: Path, *base: str | Path) -> dict[int, dict[str, Any]]:
    command = [BPFTOOL, *base, "--json", "btf", "dump", "file", btf, "format", "raw"]
    done = subprocess.run(command, capture_output=True, check=True)
    return {one["id"]: one for one in json.loads(done.stdout)["types"]}


@dataclass(frozen=True)
class Position:
    """Where a parameter lies: its first register, or its offset from SP."""

    struct: bool
    # In bytes.
    size: int
    by_reference: bool
    register: int | None
    stack: int | None
    words: int


def positions(types: Mapping[int, dict[str, Any]], function: int) -> list[Position]:
    """
    Return where the parameters of a function lie.

    Written from AAPCS64, 6.8.2, for a kernel without floating point.
    """

    def plain(number: int) -> dict[str, Any]:
        while (one := types[number])["kind"] in (
            "TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG"
        ):  # fmt: skip
            number = one["type_id"]
        return one

    def is_wide(number: int) -> bool:
        one = plain(number)
        if one["kind"] == "ARRAY":
            return is_wide(one["type_id"])
        if one["kind"] in ("STRUCT", "UNION"):
            return any(is_wide(member["type_id"]) for member in one["members"])
        return bool(one["kind"] == "INT" and one["size"] == 16)

    registers = stack = 0
    found = []
    for parameter in types[types[function]["type_id"]]["params"]:
        number = parameter["type_id"]
        if not number or plain(number)["kind"] == "ARRAY":
            continue
        type_ = plain(number)
        size = 8 if type_["kind"] == "PTR" else type_["size"]
        wide = size == 16 and is_wide(number)
        struct = type_["kind"] in ("STRUCT", "UNION")
        by_reference = struct and size > 16
        words = 1 if by_reference else -(-size // 8)
        if wide:
            registers = align_up(registers, 2)
        if registers + words <= 8:
            found.append(Position(struct, size, by_reference, registers, None, words))
            registers += words
        else:
            registers = 8
            stack = align_up(stack, 16 if wide else 8)
            found.append(Position(struct, size, by_reference, None, stack, words))
            stack += 8 * words
    return found


def functions_of(types: Mapping[int, dict[str, Any]], own: int = 1) -> Iterator[dict[str, Any]]:
    """Yield the functions with an ID from `own` on."""
    for one in types.values():
        if one["kind"] == "FUNC" and one["id"] >= own:
            yield one


def counted(types: Mapping[int, dict[str, Any]], own: int = 1) -> Counter[tuple[str, Counted]]:
    """Return the functions with an ID from `own` on that take something outside of registers."""
    found: Counter[tuple[str, Counted]] = Counter()
    for one in functions_of(types, own):
        at = positions(types, one["id"])
        stack = max((p.stack + 8 * p.words for p in at if p.stack is not None), default=0)
        references = tuple(p.size for p in at if p.by_reference)
        if stack or references:
            found[one["name"], Counted(stack, references)] += 1
    return found


def ours(functions: Sequence[Function], module: str = "") -> Counter[tuple[str, Counted]]:
    return Counter(
        (one.name, Counted(one.stacked, tuple(part.size for part in one.by_reference)))
        for one in functions
        if one.prototype.module == module and (one.stacked or one.by_reference)
    )


def unknown(found: Survey, module: str = "") -> set[str]:
    return {one.name for one in found.unknown if one.prototype.module == module}


@pytest.mark.parametrize("name", KERNELS)
def test_the_image_against_another_reader(name: str, tmp_path: Path) -> None:
    btf = tmp_path / "vmlinux"
    btf.write_bytes(found_in(files(name).images[0].read_bytes()) or b"")
    types = types_of(btf)
    found = surveyed(name)
    of_image = [one for one in found.functions if not one.prototype.module]
    assert len(of_image) == sum(one["kind"] == "FUNC" for one in types.values())
    # What is not known is counted apart here, and cannot be told by the other.
    expected = counted(types)
    for key in list(expected):
        if key[0] in unknown(found):
            del expected[key]
    assert ours(of_image) == expected
    assert sum(expected.values()) > 50


@pytest.mark.parametrize("name", KERNELS[1:])
def test_modules_against_another_reader(name: str, tmp_path: Path) -> None:
    base = tmp_path / "vmlinux"
    base.write_bytes(found_in(files(name).images[0].read_bytes()) or b"")
    found = surveyed(name)
    kernel = types_of(base)
    folder = files(name).modules
    assert folder
    paths = {path.name.partition(".ko")[0]: path for path in folder.rglob("*.ko*")}
    worst = [one.prototype.module for one in found.stacked if one.prototype.module]
    drawn = random.Random(5).sample(found.modules, MODULES)
    for module in dict.fromkeys([*worst[:3], *drawn]):
        own = tmp_path / module
        own.write_bytes(found_in(read_module(paths[module])) or b"")
        types = types_of(own, "--base-btf", base)
        expected = counted({**kernel, **types}, own=max(kernel) + 1)
        for key in list(expected):
            if key[0] in unknown(found, module):
                del expected[key]
        assert ours(found.functions, module) == expected, module


@pytest.mark.parametrize("name", ["debian:6.1", "debian:6.12", "debian:7.2"])
def test_what_tracers_trip_over_against_another_reader(name: str, tmp_path: Path) -> None:
    btf = tmp_path / "vmlinux"
    btf.write_bytes(found_in(files(name).images[0].read_bytes()) or b"")
    types = types_of(btf)
    image = dataclasses.replace(files(name), modules=None)
    facts = audit.audit(source.read(image), (7, 2), []).facts
    left_out = unknown(surveyed(name))
    of = [positions(types, f["id"]) for f in functions_of(types) if f["name"] not in left_out]

    def count(has: Callable[[int, Position], bool]) -> int:
        return sum(any(has(index, one) for index, one in enumerate(at)) for at in of)

    assert facts.functions == len(of)
    assert facts.stacked == count(lambda _, one: one.stack is not None)
    assert facts.many == sum(len(at) > 6 for at in of)
    assert facts.by_reference == count(lambda _, one: one.by_reference)
    assert facts.shifted == count(
        lambda index, one: index < 8 and one.register not in (None, index)
    )
    assert facts.struct_stacked == count(
        lambda _, one: one.struct and not one.by_reference and one.stack is not None
    )


def test_the_counts_of_6_1_are_those_that_are_known() -> None:
    """They were counted by hand, of Debian's 6.1.0-56; another revision may have a few more."""
    of_image = [one for one in surveyed("debian:6.1").functions if not one.prototype.module]
    assert len(of_image) == pytest.approx(42_656, rel=0.01)
    assert sum(bool(one.stacked) for one in of_image) == pytest.approx(128, abs=5)
    assert max(one.stacked for one in of_image) == 48
    assert sum(bool(one.by_reference) for one in of_image) == pytest.approx(55, abs=5)


# What the compiler did.


def drawn(name: str) -> dict[str, list[Function]]:
    """Return functions of each sort that have code of their own under a name of their own."""
    found, code = surveyed(name), machine_code(name)
    names = Counter(one.name for one in found.functions if not one.prototype.module)
    fitting = [
        one
        for one in found.functions
        if not one.prototype.module
        and names[one.name] == 1
        and one.name in code.places
        and one.placement.layout
        and not one.prototype.signature.variadic
    ]
    sorts = {
        "stacked": [one for one in fitting if one.stacked],
        "by reference": [one for one in fitting if one.by_reference and not one.stacked],
        "registers": [one for one in fitting if not one.stacked and not one.by_reference],
    }
    draw = random.Random(11)
    return {sort: draw.sample(of, min(DRAWN[sort], len(of))) for sort, of in sorts.items()}


@functools.cache
def evidence(name: str) -> dict[str, list[tuple[Function, Evidence]]]:
    code = machine_code(name)
    return {
        sort: [(one, code.evidence(one.name)) for one in of] for sort, of in drawn(name).items()
    }


def predicted(one: Function) -> tuple[set[int], set[int]]:
    """Return the registers and the slots on the stack that the model places arguments in."""
    placement = place(one.prototype.signature)
    assert placement.layout
    registers, slots = set(), set()
    for parameter, slot in zip(one.prototype.signature.parameters, placement.layout.placements):
        registers |= set(slot.general)
        if slot.stack is not None and parameter.type:
            size = 8 if slot.by_reference else align_up(parameter.type.size, 8)
            slots |= set(range(slot.stack, slot.stack + size, 8))
    return registers, slots


def doubts(name: str) -> Iterator[str]:
    """Yield what the machine code shows against the model; what it is too little to show, too."""
    for sort, found in evidence(name).items():
        against = registers_alike = slots_alike = called = passed = 0
        for one, shown in found:
            registers, slots = predicted(one)
            reads = {at // 8 * 8 for at in shown.reads}
            against += not (shown.registers <= registers and reads <= slots)
            registers_alike += shown.registers == registers
            slots_alike += reads == slots
            called += bool(shown.stores)
            passed += bool(shown.stores) and any(slots <= stored for stored in shown.stores)
        total = len(found)
        # A path that the compiler knew to be impossible looks like one that reads anything.
        if against > total / 100 + 1:
            yield f"{sort}: {against} of {total} read what they are not passed"
        # A function need not read all that it is passed.
        if registers_alike < 0.6 * total:
            yield f"{sort}: {registers_alike} of {total} read each register that they are passed"
        if slots_alike < 0.85 * total:
            yield f"{sort}: {slots_alike} of {total} read each slot that they are passed"
        if passed < 0.97 * called:
            yield f"{sort}: of {called} with direct calls, {passed} are passed each slot"


@pytest.mark.parametrize("name", KERNELS)
def test_the_machine_code_agrees(name: str) -> None:
    found = evidence(name)
    assert len(found["stacked"]) > 50 and len(found["by reference"]) > 30
    assert list(doubts(name)) == []


def by_value(self: Any, type_: CType) -> Any:
    """Place as the model does, but pass aggregates of up to 64 bytes by value."""
    if isinstance(type_, Composite) and 16 < type_.size <= 64:
        return self._place_composite(type_)
    return _PLACE(self, type_)


def spread(self: Any, size: int, align: int) -> int:
    """Push as the model does, but at multiples of 16."""
    return _PUSH(self, size, 16)


_PLACE, _PUSH = aapcs64._Allocator.place, aapcs64._Allocator.push
WRONG = {
    "C.9, too few": (aapcs64, "GENERAL_REGISTERS", 7),
    "C.9, too many": (aapcs64, "GENERAL_REGISTERS", 9),
    "B.4": (aapcs64._Allocator, "place", by_value),
    "C.14": (aapcs64._Allocator, "push", spread),
}


@pytest.mark.parametrize("rule", WRONG)
def test_a_wrong_rule_does_not_agree(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "debian:6.1"
    assert list(doubts(name)) == []
    monkeypatch.setattr(*WRONG[rule])
    assert list(doubts(name))


# The command.


@pytest.mark.parametrize("name", KERNELS)
def test_the_command_is_quick(name: str, tmp_path: Path) -> None:
    files(name)
    surveyed(name)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = tmp_path / "out.json"
    command = ["jprobe-harness", "survey", "--kernel", name, "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS
    (kernel,) = json.loads(out.read_text())["kernels"]
    assert kernel["all"]["functions"] == len(surveyed(name).functions)
    assert kernel["symbols"]["without_prototype"] > 0
    assert kernel["release"] in done.stdout
