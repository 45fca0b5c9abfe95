# SPDX-License-Identifier: GPL-2.0-only
"""What is taken from the kernel's own output: of trace files, and of the BPF program's loader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.abi.aapcs64 import place
from harness.cases.catalog import Catalog
from harness.errors import KernelFault
from harness.guest.records import Ran
from harness.inspect.guest import Guest
from harness.modules.casefunctions import symbol
from harness.tracers.catalog import tracers
from harness.tracers.reading import Traced
from harness.tracing.events import Events
from harness.tracing.function import LINE_MAX, Function, Values, in_lines, number
from harness.tracing.functions import Functions
from harness.tracing.programs import Programs
from harness.tracing.redirect import Redirect
from tests.unit.factory import case

# As v7.2 of Debian's prints them.
EVENTS = """\
         busybox-127     [000] d....     5.198392: e0: (jpcase_three_target+0x0/0xf8 [probe_targets]) v0=0x4e43382d22170c01 v1=0x26 v2=0x0
CPU:0 [LOST 3 EVENTS]
         busybox-127     [000] d....     5.199173: e0: (jpcase_three_target+0x0/0xf8 [probe_targets]) v0=0x1 v1=0x1 v2=0x1
         busybox-127     [000] d.h2.     5.199624: e1: (jpcase_pair_target+0x0/0x200 [probe_targets]) v0=0x4e43382d22170c01
"""  # noqa: E501
# On the way back, and by the names of parameters.
RETURNS = """\
         busybox-127     [000] .l.1.     8.023149: e0: (jpcase_three_call+0xec/0x120 [probe_targets] <- jpcase_three_target) v0=0x1 v1=0x2 v2=0x3
"""  # noqa: E501
NAMES = """\
         busybox-129     [000] d....     7.595249: e0: (jpcase_three_target+0x0/0x120 [probe_targets]) a0=5639412924894612481 a1=-7454158358797265333 a2=0xffff800082adbba0
"""  # noqa: E501
CALLS = """\
         busybox-127     [000] ...1.     5.127960: jpcase_three_target(a0=5639412924894612481, a1=-7454158358797265333, a2=0, ...) <-jpcase_three_call
         busybox-127     [000] ...1.     5.130336: jpcase_gone_target() <-jpcase_gone_call
         busybox-127     [000] d.h2.     5.130861: jpcase_variadic_target(a0=5639412924894612481, =?0x73685d52473c3126) <-jpcase_variadic_call
         busybox-127     [000] ...1.     5.131303: jpcase_pair_target(a0=(STRUCT)[0xffff800082aabba0:0x988d82776c61564b:...], a1=(UNION)[0x170c01], a2=-48) <-jpcase_pair_call
         busybox-128     [000] ...1.     6.168316: jpcase_kinds_target(a0=0x1, a1=7 [color], a2=75, a3=0x7b70, ...) <-jpcase_kinds_call
"""  # noqa: E501
GRAPH = """\
    5.859694 |   0)  busybox-139   | # 1499.552 us |  jpcase_three_target [probe_targets](a0=5639412924894612481, a1=-7454158358797265333, a2=0, ...);
    5.862199 |   0)  busybox-139   | + 42.176 us   |  jpcase_gone_target [probe_targets]();
    5.862205 |   0)  busybox-139   | ! 617.504 us  |  jpcase_variadic_target [probe_targets](a0=5639412924894612481, =?0x73685d52473c3126);
    5.862305 |   0)  busybox-139   |               |  jpcase_pair_target [probe_targets](a0=(STRUCT)[0xffff800082aabba0:0x988d82776c61564b:...], a1=(UNION)[0x170c01], a2=-48) {
    5.862405 |   0)  busybox-139   | ! 902.864 us  |  jpcase_kinds_target [probe_targets](a0=0x1, a1=7 [color], a2=75, a3=0x7b70, ...);
"""  # noqa: E501
# v5.10 has no arguments there.
PLAIN = "  busybox-113     [000] ....     2.234688: jpcase_three_target <-jpcase_three_call\n"
# A time, a CPU and a task come before what was kept.
SLOTS = "5195184544 0 130 " + " ".join(f"{index:x}" for index in range(1, 25))
# What is before each call in the function tracer's output, and before an event.
HEAD = "  busybox-113     [000] d....     2.234688: "


class Said:
    """In a guest's place: answers each command by the first word of ours that it has."""

    def __init__(self, answers: Mapping[str, str | Ran]) -> None:
        self.answers = answers
        self.commands: list[str] = []

    def run(self, command: str, seconds: float | None = None) -> Ran:
        self.commands.append(command)
        found = [text for words, text in self.answers.items() if words in command]
        answer = found[0] if found else ""
        return answer if isinstance(answer, Ran) else Ran(0, answer)


def guest(answers: Mapping[str, str | Ran]) -> Guest:
    return cast(Guest, Said(answers))


def function(name: str, arguments: str, at: int = 0) -> Function:
    made = case(f"{{types: {{pair: ['long[2]']}}, arguments: {arguments}}}", name)
    types = made.types[: made.named]
    names = tuple(f"a{index}" for index in range(made.named))
    traced = Traced(types, place(types), made.variadic, names=names)
    return Function(made, symbol(made, "target"), at, traced)


def word(value: int) -> bytes:
    return (value % (1 << 64)).to_bytes(8, "little")


THREE = function("three", "[3 x long]")
PAIR = function("pair", "[pair, long, long]")
ONE = function("pair", "[long]")
NUMBERS = (word(5639412924894612481), word(-7454158358797265333))


def read_by_events(tracer: str, shown: str, *functions: Function) -> list[Values]:
    attached = Events(tracers()[tracer])
    answers = {"dynamic_events": "ok\n" * 99, "/trace": shown}
    said = guest(answers)
    attached._events = list(attached._of(functions))
    return attached.values(said, functions, [None] * len(functions))


def read_by_functions(shown: str, *functions: Function) -> list[Values]:
    attached = Functions(tracers()["funcgraph-args" if " | " in shown else "func-args"])
    return attached.values(guest({"/trace": shown}), functions, [None] * len(functions))


def read_by_programs(shown: str, *functions: Function, tracer: str = "fentry") -> list[Values]:
    attached = Programs(tracers()[tracer])
    return attached.values(guest({"trace read": shown}), functions, [None] * len(functions))


def test_the_first_record_of_each_event_counts() -> None:
    three, one = read_by_events("kprobe", EVENTS, THREE, ONE)
    assert three == (word(0x4E43382D22170C01), word(0x26), word(0))
    assert one == (word(0x4E43382D22170C01),)


def test_events_on_the_way_back_and_by_name() -> None:
    assert read_by_events("fprobe-exit", RETURNS, THREE) == [(word(1), word(2), word(3))]
    assert read_by_events("kprobe-btf", NAMES, THREE) == [(*NUMBERS, word(0xFFFF800082ADBBA0))]


def test_an_argument_in_pieces_is_put_together() -> None:
    shown = EVENTS.splitlines()[0] + " v3=0x9\n"
    (values,) = read_by_events("kprobe-exact", shown, PAIR)
    assert values == (word(0x4E43382D22170C01) + word(0x26), word(0), word(9))


def test_an_argument_with_a_piece_that_could_not_be_read_is_not_read() -> None:
    shown = EVENTS.splitlines()[0].replace("0x26", "(fault)") + " v3=0x9\n"
    assert read_by_events("kprobe-exact", shown, PAIR) == [(None, word(0), word(9))]


@pytest.mark.parametrize(
    "cut",
    ["", " v0=", " v0=0x", " v0=0x12", " v0=(fault) v1=ab v2", " v0=0x1=0x2 v1==", " v0=007x"],
)
def test_a_record_that_is_cut_has_no_values(cut: str) -> None:
    head = f"{HEAD}e0: (jpcase_three_target+0x0/0xf8 [probe_targets])"
    assert read_by_events("kprobe", head + cut, THREE) == [(None,) * 3]


@pytest.mark.parametrize("shown", [CALLS, GRAPH])
def test_what_the_function_tracers_print(shown: str) -> None:
    variadic = function("variadic", "[long, '...', long]")
    gone = function("gone", "[long]")
    kinds = function("kinds", "[bool, int, signed char, u16, long]")
    found = read_by_functions(shown, THREE, PAIR, variadic, gone, kinds, ONE)
    assert found[0] == (*NUMBERS, word(0))
    both = word(0xFFFF800082AABBA0) + word(0x988D82776C61564B)
    assert found[1] == (both, word(0x170C01), word(-48))
    assert found[2:4] == [(NUMBERS[0],), (None,)]
    # An enumerator's name is behind its number.
    assert found[4] == (word(1), word(7), word(75), word(0x7B70), None)
    assert found[5] == (both,)


def test_function_tracers_without_arguments() -> None:
    assert read_by_functions(PLAIN, THREE) == [()]


@pytest.mark.parametrize(
    "words",
    ["a0=ab, a1=0x, a2=--1", "a0=(STRUCT)[ab:1], a1=(STRUCT)[], a2=[1]", "a0=1" + "0" * 5000],
)
def test_what_is_no_number_is_not_read(words: str) -> None:
    line = f"{HEAD}jpcase_three_target({words}) <-jpcase_three_call\n"
    assert read_by_functions(line, THREE) == [(None, None, None)]


def test_a_call_ends_with_its_line() -> None:
    whole = f"{HEAD}jpcase_pair_target(a0=2, a1=3, a2=4) <-jpcase_pair_call\n"
    cut = f"{HEAD}jpcase_three_target(a0=1,\n"
    assert read_by_functions(cut + whole, THREE, PAIR) == [(), (word(2), word(3), word(4))]


def test_the_slots_that_programs_kept() -> None:
    assert read_by_programs(f"1 {SLOTS}\n", THREE, PAIR) == [
        (), (word(1) + word(2), word(3), word(4)),
    ]  # fmt: skip
    # By register, whatever the size; and there are eight.
    many = function("many", "[pair, 9 x long]")
    (values,) = read_by_programs(f"0 {SLOTS}\n", many, tracer="kprobe-multi")
    assert values == (*(word(slot) for slot in range(1, 9)), None, None)


@pytest.mark.parametrize(
    "shown",
    [
        "map 2 \n",
        "0 1",
        "0",
        "0 1 2 3",
        "0 1 2 3 4 zz",
        "9 1 2 3 4",
        "-1 1 2 3 4",
        "",
        "x",
        "0 1 2 3 " + "f" * 17,
        "0 " + "1" * 5000 + " 2 3 4",
    ],
)
@pytest.mark.parametrize("tracer", ["fentry", "kprobe-multi"])
def test_slots_that_are_no_slots(shown: str, tracer: str) -> None:
    (values,) = read_by_programs(shown, THREE, tracer=tracer)
    assert all(value is None for value in values[1:])


def attach(tracer: str, output: str, status: int = 0) -> list[str]:
    attached = Programs(tracers()[tracer])
    return attached.attach(guest({"/bin/trace": Ran(status, output)}), [THREE, PAIR])


def test_the_kernels_words_on_programs() -> None:
    said = "load 22 The function f has 14 arguments. Too many."
    assert attach("fentry", f"ok\n{said}\n") == [
        "", "load: EINVAL: The function f has 14 arguments. Too many.",
    ]  # fmt: skip
    assert attach("fentry", "attach 524 \nbtf 2 \n") == ["attach: ENOTSUPP", "btf: ENOENT"]
    assert attach("fentry", "pin 4095 \nok\n") == ["pin: error 4095", ""]
    # Without a map there are no programs.
    assert attach("fentry", "map 1 \n", 1) == ["map: EPERM"] * 2


@pytest.mark.parametrize(
    ("output", "status"),
    [("ok\n", 137), ("", 0), ("sh: /bin/trace: not found\n", 127), ("ok\nok\nok\n", 0)],
)
def test_a_loader_that_does_not_do_its_work(output: str, status: int) -> None:
    with pytest.raises(KernelFault, match="The program that loads BPF programs ended"):
        attach("fentry", output, status)


def test_events_that_are_refused() -> None:
    lines = "ok\nsh: write error: Invalid argument [    5.925698] trace_kprobe: error: No $x\n"
    attached = Events(tracers()["kprobe-btf"])
    assert attached.attach(guest({"dynamic_events": lines}), [THREE, PAIR]) == [
        "", "Invalid argument: No $x",
    ]  # fmt: skip
    lines = "sh: can't create /x/dynamic_events: Operation not permitted \n" * 2
    assert attached.attach(guest({"dynamic_events": lines}), [THREE, PAIR]) == [
        "Operation not permitted"
    ] * 2  # fmt: skip


def test_events_that_the_guest_does_not_tell_of() -> None:
    attached = Events(tracers()["kprobe"])
    with pytest.raises(KernelFault, match="told of 1 of 2 events"):
        attached.attach(guest({"dynamic_events": "ok\n"}), [THREE, PAIR])


def test_a_function_with_many_pieces_has_several_events() -> None:
    many = function("many", "[3 x pair, 60 x long]")
    attached = Events(tracers()["kprobe-exact"])
    said = Said({"dynamic_events": "ok\nsh: write error: No such file or directory \n"})
    refused = attached.attach(cast(Guest, said), [many])
    assert refused == ["No such file or directory"]
    defined = [line for line in said.commands if "jp/e0" in line and "jp/e1" in line]
    assert len(defined) == 1


@pytest.mark.parametrize("tracer", ["func-args", "funcgraph-args"])
def test_function_tracers_that_are_refused(tracer: str) -> None:
    attached = Functions(tracers()[tracer])
    option = tracers()[tracer].options["option"]
    output = f"sh: can't create /x/options/{option}: Permission denied\n"
    said = guest({"set_ftrace_filter": "ok\n", f"options/{option}": Ran(1, output)})
    assert attached.attach(said, [THREE, PAIR]) == [f"no {option}: Permission denied"] * 2
    # Without a filter all functions would be traced.
    no = "sh: write error: Invalid argument\n"
    filtered = Said({"set_ftrace_filter": no})
    assert attached.attach(cast(Guest, filtered), [THREE]) == ["Invalid argument"]
    assert not any(f"options/{option}" in command for command in filtered.commands)


def test_functions_that_a_filter_does_not_take() -> None:
    real = Catalog().cases["real-open"]
    one, other = (replace(THREE, case=real, symbol=name) for name in "ab")
    attached = Functions(tracers()["func-args"])
    said = Said({"set_ftrace_filter": "ok\nsh: write error: Invalid argument\n"})
    assert attached.attach(cast(Guest, said), [one, other]) == ["", "Invalid argument"]
    assert any("current_tracer" in command for command in said.commands)
    with pytest.raises(KernelFault, match="told of 1 of 2 functions"):
        attached.attach(guest({"set_ftrace_filter": "ok\n"}), [one, other])


def test_a_redirect_that_is_refused() -> None:
    said = guest({"redirect": Ran(1, "sh: write error: Device or resource busy\n")})
    assert Redirect().attach(said, [THREE]) == ["Device or resource busy"]
    assert Redirect().values(said, [THREE], [None]) == [()]


@given(st.lists(st.text("ab$= ", max_size=LINE_MAX), max_size=20))
def test_lines_are_short_and_leave_no_word_out(words: list[str]) -> None:
    groups = in_lines(words)
    assert [word for group in groups for word in group] == words
    assert all(groups)
    assert all(len(group) == 1 or len(" ".join(group)) <= LINE_MAX for group in groups)
    # Another group begins only where the word would not fit.
    for group, following in pairwise(groups):
        assert len(" ".join([*group, following[0]])) >= LINE_MAX


def test_a_line_is_filled_to_the_last_character() -> None:
    half = LINE_MAX // 2
    assert in_lines(["a" * half, "b" * (half - 2)]) == [["a" * half, "b" * (half - 2)]]
    assert in_lines(["a" * half, "b" * half]) == [["a" * half], ["b" * half]]
    assert in_lines([]) == []


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_numbers_as_the_kernel_prints_them(value: int) -> None:
    assert number(f"{value}") == value
    assert value < 0 or number(f"{value:#x}") == value


KINDS = st.sampled_from([EVENTS, RETURNS, NAMES, CALLS, GRAPH, PLAIN, f"0 {SLOTS}\n"])


@given(KINDS, st.data())
def test_output_that_is_damaged_raises_nothing(shown: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(shown)))
    end = data.draw(st.integers(start, len(shown)))
    hostile = st.text(st.sampled_from("0x=-,:;[]() <{e\nv1af\0é٣"), max_size=30)
    damaged = shown[:start] + data.draw(hostile) + shown[end:]
    for values in (
        *read_by_events("kprobe", damaged, THREE),
        *read_by_events("kprobe-exact", damaged, THREE),
        *read_by_functions(damaged, THREE),
        *read_by_programs(damaged, THREE),
        *read_by_programs(damaged, THREE, tracer="kprobe-multi"),
    ):
        assert len(values) in (0, 3)


def test_a_hostile_record_takes_no_time() -> None:
    """Nothing in the patterns tries the ways to split a line one by one."""
    line = f"{HEAD}e0: (x) " + "=1" * 50000 + " x\n"
    assert read_by_events("kprobe", line, THREE) == [(None,) * 3]
    line = f"{HEAD}jpcase_three_target(" + "(a)" * 50000 + "\n"
    assert read_by_functions(line, THREE) == [()]
