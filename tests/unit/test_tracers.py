# SPDX-License-Identifier: GPL-2.0-only
"""The tracers' files, and their rules against simulated calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.abi import ctype
from harness.abi.aapcs64 import GENERAL_REGISTERS, place
from harness.abi.ctype import INT, INT128, LONG, CType
from harness.abi.offsets import differing
from harness.errors import ConfigError
from harness.tracers import catalog
from harness.tracers.cell import is_read_as
from harness.tracers.reading import Read, Reading, Traced
from harness.tracers.rules import RULES
from harness.tracers.tracer import Kind, Ruled, Tracer
from harness.tracing.function import Function
from harness.tracing.programs import _by_size
from tests.unit.calls import ANY, EITHER, LARGE, NARROW, PAIR, WIDE, Call, call, calls, words
from tests.unit.factory import case

RIGHT = Read.RIGHT

# Files of tracers.

FILE = """\
shows: something
kind: event
options: {event: p, fetch: index}
rules: [{since: "6.1", rule: by-index, source: a file}]
checked: ["6.1"]
"""


def load(tmp_path: Path, text: str) -> Tracer:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return catalog.load(path)


def test_a_tracers_file(tmp_path: Path) -> None:
    tracer = load(tmp_path, FILE)
    assert (tracer.name, tracer.kind, tracer.checked) == ("own", Kind.EVENT, ((6, 1),))
    assert tracer.rules == (Ruled((6, 1), RULES["by-index"], "a file"),)
    # In the order of releases, not of their digits.
    rules = "".join(f'{{since: "{r}", rule: by-index, source: s}},' for r in ("6.10", "6.9", "5.1"))
    tracer = load(tmp_path, FILE.replace('{since: "6.1", rule: by-index, source: a file}', rules))
    assert [one.since for one in tracer.rules] == [(5, 1), (6, 9), (6, 10)]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("rule: by-index", "rule: by-indes", "there is no rule 'by-indes'. The nearest: by-index"),
        ("kind: event", "kind: events", "'program' or 'redirect', not 'events'"),
        ('since: "6.1"', 'since: "6"', "'6' is not a release such as 6.12."),
        ('since: "6.1"', 'since: "v6.1"', "'v6.1' is not a release such as 6.12."),
        ('checked: ["6.1"]', 'checked: ["6.1.0"]', "'6.1.0' is not a release such as 6.12."),
        ('since: "6.1"', "since: 6.1", "give text; put it in quotes"),
        ('checked: ["6.1"]', "checked: []", "give at least one rule and one release."),
        ("shows:", "show:", "show: there is no such field. The nearest: shows"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert FILE.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, FILE.replace(old, new))
    assert str(tmp_path / "own.yaml") in caught.value.sentence
    assert sentence in str(caught.value)
    assert len(caught.value.sentence.splitlines()) == 1


def test_a_file_without_rules(tmp_path: Path) -> None:
    start, end = FILE.index("[{since"), FILE.index("}]") + 2
    with pytest.raises(ConfigError, match="give at least one rule"):
        load(tmp_path, FILE[:start] + "[]" + FILE[end:])


def test_our_own_tracers() -> None:
    every = catalog.tracers()
    assert len(every) >= 14
    for name, tracer in every.items():
        assert tracer.name == name
        # A prediction is made for what was seen.
        assert max(tracer.checked) >= tracer.rules[-1].since
    assert {rule for tracer in every.values() for rule in map(_rule_of, tracer.rules)} == set(RULES)


def _rule_of(ruled: Ruled) -> str:
    (name,) = (name for name, rule in RULES.items() if rule is ruled.rule)
    return name


def test_what_is_selected() -> None:
    assert [one.name for one in catalog.select([])] == list(catalog.tracers())
    chosen = catalog.select(["fexit", "kprobe", "fexit"])
    assert [one.name for one in chosen] == ["fexit", "kprobe"]
    assert [one.name for one in catalog.select(["fentry*", "!*-context"])] == ["fentry"]
    with pytest.raises(ConfigError, match=r"no tracer 'fexti'\. The nearest: fexit") as caught:
        catalog.select(["kprobe", "fexti"])
    assert "list tracers" in caught.value.hint


# Which rule holds.

ON_NOTRACE = "CONFIG_KPROBE_EVENTS_ON_NOTRACE"
TRACED = Traced((LONG,), place([LONG]), variadic=False)
TRACER = Tracer(
    name="own",
    shows="",
    kind=Kind.EVENT,
    options={},
    needs=("CONFIG_A", "CONFIG_B"),
    rules=(
        Ruled((5, 4), lambda traced: Reading((Read.ZERO,)), ""),
        Ruled((6, 0), lambda traced: Reading((RIGHT,)), ""),
    ),
    checked=((6, 12), (6, 1)),
)


@pytest.mark.parametrize(
    ("release", "has", "predicted"),
    [
        ((4, 19), True, Reading(refused="not before v5.4")),
        ((5, 3), True, Reading(refused="not before v5.4")),
        ((5, 4), True, Reading((Read.ZERO,))),
        ((5, 19), True, Reading((Read.ZERO,))),
        ((6, 0), True, Reading((RIGHT,))),
        ((6, 12), True, Reading((RIGHT,))),
        ((6, 13), True, None),
        ((10, 0), False, None),
        ((6, 1), False, Reading(refused="the kernel is built without CONFIG_A")),
        # It is not the option that is missing there.
        ((5, 3), False, Reading(refused="not before v5.4")),
    ],
)
def test_a_prediction(release: tuple[int, int], has: bool, predicted: Reading | None) -> None:
    assert TRACER.predict(release, lambda option: has, TRACED) == predicted


def test_the_option_that_is_missing_is_named() -> None:
    found = TRACER.predict((6, 1), "CONFIG_A".__eq__, TRACED)
    assert found == Reading(refused="the kernel is built without CONFIG_B")


@pytest.mark.parametrize(
    ("name", "lacks", "refused"),
    [
        ("kprobe", {ON_NOTRACE}, True),
        ("kprobe", set(), False),
        # Without ftrace there is nothing that a function could be kept from.
        ("kretprobe", {ON_NOTRACE, "CONFIG_DYNAMIC_FTRACE"}, False),
        ("fprobe", set(), True),
        ("fentry", set(), True),
        ("func-args", set(), True),
    ],
)
def test_who_heeds_notrace(name: str, lacks: set[str], refused: bool) -> None:
    traced = dataclasses.replace(TRACED, btf=True, traceable=False)
    found = catalog.tracers()[name].predict((7, 2), lambda option: option not in lacks, traced)
    assert found and (found.refused == "notrace") is refused


@given(st.tuples(st.integers(0, 20), st.integers(0, 30)))
def test_the_last_rule_that_is_not_younger_holds(release: tuple[int, int]) -> None:
    ruled = TRACER.ruled(release)
    held = [one for one in TRACER.rules if one.since <= release]
    assert ruled == (max(held, key=lambda one: one.since) if held else None)


# The rules, against what the kernel's code does to a call.


def regs_get_kernel_argument(one: Call) -> list[bytes | None]:
    return [
        one.registers[index] if index < GENERAL_REGISTERS else bytes(8)
        for index in range(len(one.types))
    ]


def pt_regs_parm(one: Call) -> list[bytes | None]:
    return [
        one.registers[index] if index < GENERAL_REGISTERS else None
        for index in range(len(one.types))
    ]


def print_function_args(one: Call) -> list[bytes | None]:
    """Six of the registers; an aggregate goes on to the next ones."""
    found: list[bytes | None] = []
    at = 0
    for type_, size in zip(one.types, one.sizes):
        count = size if isinstance(type_, ctype.Composite) else 1
        found.append(b"".join(one.registers[at : min(at + count, 6)]) if at < 6 else None)
        at += count
    return found


def copied(one: Call) -> tuple[int, int]:
    """Return how many registers and words of the stack arm64's trampoline copies."""
    sizes, registers = one.sizes, 0
    while sizes and registers + sizes[0] <= GENERAL_REGISTERS:
        registers += sizes.pop(0)
    return registers, sum(sizes)


def bpf_get_func_arg(one: Call) -> list[bytes | None]:
    registers, stacked = copied(one)
    kept = (*one.registers[:registers], *one.stack[:stacked])
    made = case("{arguments: [long]}")
    return list(_by_size(Function(made, "", 0, one.traced), kept))


Reader = Callable[[Call], list[bytes | None]]


def disagreeing(rule: str, reader: Reader, one: Call) -> list[int]:
    """Return the arguments that are not read as the rule says."""
    reading = RULES[rule](one.traced)
    assert not reading.refused
    found = reader(one)
    return [
        index
        for index, (read, value) in enumerate(zip(reading.reads, found, strict=True))
        if not is_read_as(read, one.passed[index], value)
    ]


@given(calls(ANY, 20))
def test_rules_of_registers_hold(one: Call) -> None:
    assert disagreeing("by-index", regs_get_kernel_argument, one) == []
    assert disagreeing("registers", pt_regs_parm, one) == []
    assert disagreeing("printed", print_function_args, one) == []


@given(calls([one for one in ANY if one is not LARGE], 12))
def test_rules_of_slots_hold(one: Call) -> None:
    assert disagreeing("slots", bpf_get_func_arg, one) == []


@given(calls(NARROW, 12))
def test_slots_are_right_where_nothing_is_aligned_to_more_than_a_slot(one: Call) -> None:
    assert RULES["slots-called"](one.traced) == Reading((RIGHT,) * len(one.types))
    values = bpf_get_func_arg(one)
    for index, (argument, value) in enumerate(zip(one.passed, values, strict=True)):
        assert is_read_as(RIGHT, argument, value), index


@given(calls([one for one in ANY if one is not LARGE], 12))
def test_what_a_trampoline_leaves_out_does_not_arrive(one: Call) -> None:
    registers, stacked = copied(one)
    others = bytes(octet ^ 0xFF for octet in b"".join((*one.registers, *one.stack)))
    lost = words(others)
    into = (*one.registers[:registers], *lost[registers:8])
    stack = (*one.stack[:stacked], *lost[8 + stacked :])
    found = {}
    for index, argument in enumerate(one.passed):
        offsets = differing(argument.value, one.arrived(index, into, stack))
        if offsets:
            found[index] = offsets
    assert RULES["slots-called"](one.traced).corrupts == found


@pytest.mark.parametrize("off", [-1, 1])
def test_a_reader_that_is_one_register_off_is_noticed(off: int) -> None:
    one = call([LONG] * 8, bytes(1024))
    registers = one.registers[off:] + one.registers[:off]
    wrong = dataclasses.replace(one, registers=registers)
    assert disagreeing("by-index", regs_get_kernel_argument, wrong) == list(range(8))


def reading(rule: str, types: Sequence[CType], **facts: object) -> Reading:
    traced = Traced(tuple(types), place(types), variadic=False)
    return RULES[rule](dataclasses.replace(traced, **facts))  # type: ignore[arg-type]


SLOTS = [name for name in RULES if "slots" in name]


@pytest.mark.parametrize("rule", SLOTS)
def test_functions_that_no_trampoline_takes(rule: str) -> None:
    assert reading(rule, [LONG], btf=False) == Reading(refused="not in BTF")
    assert reading(rule, [LONG], variadic=True) == Reading(refused="variadic")
    assert reading(rule, [INT] * 13) == Reading(refused="more than 12 arguments")
    assert reading(rule, [LARGE]).refused == "an aggregate of more than 16 bytes"
    assert not reading(rule, [PAIR] * 2).refused


def test_slots_by_release() -> None:
    many = "more than 8 words of arguments"
    for rule in SLOTS:
        early, late = rule.startswith("register-"), not rule.startswith(("register-", "stack-"))
        assert reading(rule, [LONG] * 9).refused == (many if early else "")
        assert reading(rule, [LONG] * 8).right
        assert reading(rule, [EITHER]).refused == ("" if late else "a union")
        wide = "an integer of two words" if "of-words" in rule else ""
        assert reading(rule, [INT128]).refused == wide


def test_a_function_is_refused_for_its_own_sake_first() -> None:
    assert reading("slots-of-words", [INT128] * 13).refused == "more than 12 arguments"


def test_reading_by_name() -> None:
    assert reading("by-name", [LONG] * 9).reads == (*[RIGHT] * 8, Read.ZERO)
    assert reading("by-name", [LONG], btf=False).refused == "not in BTF"
    assert reading("by-name", [LONG], variadic=True).refused == "variadic"
    fits = ("n" * 62, "n" * 63)
    assert not reading("by-name", [LONG] * 2, names=fits).refused
    longer = ("n" * 63, "n" * 63)
    refused = reading("by-name", [LONG] * 2, names=longer).refused
    assert refused == "names of more than 127 characters"


def test_reading_at_the_exit() -> None:
    assert reading("by-index-at-exit", [LONG] * 15).reads == (*[RIGHT] * 8, *[Read.ZERO] * 7)
    assert reading("by-index-at-exit", [LONG] * 16).refused == "more than 15 arguments"


def test_what_knows_the_prototype() -> None:
    assert reading("placement", [LONG, INT128, LARGE, *[WIDE] * 9]).right
    assert reading("prototype", [LONG, INT128, LARGE, *[WIDE] * 9]).right
    # It has no names for the tail, so that it cannot pass it on.
    variadic = reading("prototype", [LONG], variadic=True)
    assert (variadic.reads, variadic.called, variadic.right) == ((RIGHT,), False, False)


def test_nothing_is_printed_without_btf() -> None:
    assert reading("printed", [LONG] * 2, btf=False).reads == (Read.ABSENT,) * 2
