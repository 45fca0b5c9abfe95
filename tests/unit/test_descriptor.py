# SPDX-License-Identifier: GPL-2.0-only
"""The descriptor that the guest is given names the bytes that the model says are arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness import resources
from harness.abi.ctype import VA_LIST, CType
from harness.abi.descriptor import Base, Part, descriptor
from harness.abi.offsets import Offsets
from harness.cases.catalog import Catalog
from harness.cases.checks import ARGUMENTS_MAX, ARGUMENTS_SIZE_MAX
from harness.model.assumed import RecordPosition, lay_out
from harness.model.case import Case
from harness.model.policy import Policy, Rule
from harness.model.predict import predict
from harness.modules import casegen
from tests.unit.factory import case

CASES = list(Catalog().cases.values())
TYPES = """
types:
  small: ["char[9]"]
  pair: ["long[2]"]
  big: ["long[3]"]
"""


def of(made: Case) -> tuple[Part, ...]:
    return descriptor(made.types[: made.named])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("8 x long", ""),
        ("9 x long", "s0:8"),
        ("12 x long", "s0:32"),
        # A slot is eight bytes, of which a small type has the first ones (rule C.16).
        ("8 x long, char, int, bool", "s0:1 s8:4 s16:1"),
        # The copy has the type's size; what fills its slots up is padding (rule B.5).
        ("8 x long, small, int", "s0:9 s16:4"),
        # One that does not fit into what is left of the registers closes these (rule C.13).
        ("7 x long, pair, long", "s0:24"),
        ("9 x long, __int128", "s0:8 s16:16"),
        # Rule B.4, in a register and in a slot.
        ("long, big", "*x1:24"),
        ("8 x long, big, long", "s0:16 *s0:24"),
        ("big, 8 x long, big", "s0:16 *x0:24 *s8:24"),
        ("long, va_list", "*x1:32"),
        # No prototype tells what variadic arguments there are,
        ("long, '...', 9 x long", ""),
        ("9 x long, '...', 2 x long", "s0:8"),
        # nor what lies behind a pointer.
        ("8 x long, 'void *'", "s0:8"),
        ("8 x long, {type: big, boxed: true}", "s0:8"),
        ("long, {type: big, boxed: true}", ""),
    ],
)
def test_the_parts_of(arguments: str, expected: str) -> None:
    assert " ".join(map(str, of(case(f"{TYPES}arguments: [{arguments}]")))) == expected


def covered(made: Case, parts: Sequence[Part], position: RecordPosition) -> Offsets:
    """Return the offsets from SP that the guest would save."""
    hit, places = lay_out(made, position)
    by_place = {}
    for index, placement in enumerate(made.layout.placements):
        if placement.by_reference:
            general = placement.general[0] if placement.general else None
            by_place[placement.stack, general] = places.pointees[index] - hit.sp
    found = Offsets()
    for part in parts:
        start = part.number
        if part.base is Base.BY_REGISTER:
            start = by_place[None, part.number]
        elif part.base is Base.BY_SLOT:
            start = by_place[part.number, None]
        found |= Offsets.span(start, start + part.size)
    return found


def predicted(made: Case, position: RecordPosition) -> Offsets:
    hit, places = lay_out(made, position)
    found = Offsets()
    for start, end in predict(made, Policy(Rule.SIGNATURE), hit, places).saved:
        found |= Offsets.span(start - hit.sp, end - hit.sp)
    return found


@pytest.mark.parametrize("position", RecordPosition)
@pytest.mark.parametrize("made", CASES, ids=lambda made: made.name)
def test_the_model_says_the_same(made: Case, position: RecordPosition) -> None:
    """Neither is made from the other."""
    parts = of(made)
    assert covered(made, parts, position) == predicted(made, position)
    assert len(covered(made, parts, position)) == sum(part.size for part in parts)
    for number, part in enumerate(parts):
        short = [*parts[:number], replace(part, size=part.size - 1), *parts[number + 1 :]]
        assert covered(made, short, position) != predicted(made, position)


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.name)
def test_a_slot_is_put_back_before_it_is_followed(made: Case) -> None:
    parts = of(made)
    for number, part in enumerate(parts):
        if part.base is Base.BY_SLOT:
            assert any(
                slot.base is Base.AT_SP
                and slot.number <= part.number <= slot.number + slot.size - 8
                for slot in parts[:number]
            )


def constant(file: str, name: str) -> int:
    text = (resources.kernel_modules() / file).read_text()
    (value,) = re.findall(rf"^#define {name}\s+(\d+)$", text, re.MULTILINE)
    return int(value)


def test_that_of_any_case_fits() -> None:
    """A slot's address is saved besides what it points at."""
    most = ARGUMENTS_SIZE_MAX + 8 * ARGUMENTS_MAX
    assert most <= constant("stack-policy/stack_policy.h", "STACK_SIGNATURE_MAX")
    assert constant("probe-targets/assembled.c", "ITEMS_MAX") >= 2 * ARGUMENTS_MAX


def test_its_c() -> None:
    made = case(f"{TYPES}arguments: [big, 8 x long, small, big]", "made")
    text = casegen.source([made])
    assert (
        "static const struct stack_part jpcase_made_signature[] = {\n"
        "\t{ STACK_PART_AT_SP, 0, 17 },\n"
        "\t{ STACK_PART_AT_SP, 24, 8 },\n"
        "\t{ STACK_PART_BY_REGISTER, 0, 24 },\n"
        "\t{ STACK_PART_BY_SLOT, 24, 24 },\n"
        "\t{}\n"
        "};\n"
    ) in text
    assert "\t\t.jp.signature = jpcase_made_signature,\n" in text


def test_the_header_has_each_base() -> None:
    header = (resources.kernel_modules() / "stack-policy/stack_policy.h").read_text()
    for base in Base:
        assert f"\tSTACK_PART_{base.name},\t" in header


def test_a_box_has_the_pointers_place() -> None:
    """Its one member is what the handler and the function follow."""
    made = case(f"{TYPES}arguments: [9 x long, {{type: big, boxed: true}}]", "made")
    assert made.signature == "9 x long, {struct big *}"
    placement = made.layout.placements[9]
    assert (placement.stack, placement.by_reference) == (8, True)
    text = casegen.case_source(made)
    assert "struct jpcase_made_box_9 {\n\tstruct jpcase_made__big *to;\n};\n" in text
    assert "(struct jpcase_made_box_9){ &a9 });" in text
    assert "probe_look(LOOK_SEEN, 9, a9.to, sizeof(*a9.to));" in text


@pytest.mark.parametrize("types", [(), (VA_LIST,)])
def test_nothing_is_no_part(types: tuple[CType, ...]) -> None:
    assert len(descriptor(types)) == len(types)
