# SPDX-License-Identifier: GPL-2.0-only
"""Runs of tracers in guests that are none: what goes wrong, and what is told of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

import harness
from harness import cli
from harness.cases.catalog import Catalog
from harness.errors import (
    ConfigError,
    Exit,
    HarnessError,
    InfrastructureError,
    KernelDied,
    KernelFault,
)
from harness.guest.records import Ran, Record, Refusal, StreamEnd
from harness.inspect.guest import Guest
from harness.model.case import Case
from harness.model.observation import Observation
from harness.model.policy import Policy, Rule
from harness.modules import twingen
from harness.modules.build import Modules
from harness.run import job
from harness.run.result import Interrupted
from harness.tracers.catalog import tracers
from harness.tracers.cell import Cell, Seen, Status, passed
from harness.tracers.reading import Read, Reading
from harness.tracers.tracer import Kind, Ruled, Tracer
from harness.tracing import run as tracing
from harness.tracing.function import Attachment, Function, Values
from harness.tracing.run import FAULTS_MAX, Tracing
from tests.unit.factory import case, observe
from tests.unit.kernels import made_up

CASES = [case("{arguments: [long, long]}", name) for name in ("a", "b", "c", "d")]
RIGHT = Reading((Read.RIGHT, Read.RIGHT))
SCHEMA = Path(harness.__file__).parent / "report/tracers/schema.json"


def tracer(name: str = "own", predicted: Reading = RIGHT) -> Tracer:
    ruled = Ruled((1, 0), lambda traced: predicted, "a file")
    return Tracer(name, "", Kind.EVENT, {}, (), (ruled,), ((99, 0),))


class Reads(Attachment):
    """Reads all that is passed."""

    refused = ""

    def attach(self, guest: Guest, functions: Sequence[Function]) -> list[str]:
        return [self.refused] * len(functions)

    def detach(self, guest: Guest) -> None:
        pass

    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        return [
            tuple(one.value for one in passed(function.case, saw)) if saw else ()
            for function, saw in zip(functions, observed, strict=True)
        ]


Play = Callable[[int, str], Record]


def played(number: int, line: str) -> Record:
    """Return what a guest sees in which all goes well."""
    (made,) = (one for one in CASES if line == f"% none 0 {one.name}")
    return observe(made, Policy(Rule.NONE), seq=number, line=line)


@dataclasses.dataclass
class Guests:
    """In the place of guests, each of which plays until one of its plays raises something."""

    play: Play
    boots: int = 0
    complaints: Sequence[int | None] = ()

    @contextmanager
    def booted(self, kernel: object, modules: object, config: object) -> Iterator[Guest]:
        self.boots += 1
        faked = SimpleNamespace(
            kernel=kernel,
            session=SimpleNamespace(
                played=0,
                protocol_fault=KernelFault,
                power_off=lambda: None,
                console=SimpleNamespace(
                    watcher=SimpleNamespace(
                        splats=[SimpleNamespace(seq=number) for number in self.complaints]
                    )
                ),
            ),
            run=lambda command, seconds=None: Ran(1, ""),
            check=lambda: None,
        )
        faked.play_lines = functools.partial(self._played, faked.session)
        yield cast(Guest, faked)

    def _played(self, session: SimpleNamespace, lines: Sequence[str]) -> Iterator[Record]:
        for number, line in enumerate(lines, 1):
            record = self.play(number, line)
            session.played = number
            yield record


def run(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    play: Play = played,
    *tracers: Tracer,
    attachment: type[Reads] = Reads,
    complaints: Sequence[int | None] = (),
) -> tuple[Tracing, Guests]:
    guests = Guests(play, complaints=complaints)
    monkeypatch.setattr(tracing, "booted", guests.booted)
    monkeypatch.setattr(tracing, "attachment", lambda tracer: attachment())
    monkeypatch.setattr(tracing, "described", lambda guest, kernels_own: {})
    modules = Modules(tmp_path, "k", tmp_path, traced=True)
    found = tracing.run(made_up(tmp_path), modules, tracers or (tracer(),), CASES)
    return found, guests


def test_all_cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    two = (tracer("one"), tracer("two"))
    found, guests = run(monkeypatch, tmp_path, played, *two)
    assert [(cell.tracer, cell.case.name) for cell in found.cells] == [
        (name, made.name) for name in ("one", "two") for made in CASES
    ]
    assert {cell.status for cell in found.cells} == {Status.AGREES}
    assert (guests.boots, found.planned, found.exit_status) == (2, 8, Exit.AGREES)


def failing(error: HarnessError, *names: str, times: int = 99) -> Play:
    left = [times]

    def play(number: int, line: str) -> Record:
        if line.rpartition(" ")[2] in names and left[0]:
            left[0] -= 1
            raise error
        return played(number, line)

    return play


def test_a_kernel_that_dies_costs_one_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found, guests = run(monkeypatch, tmp_path, failing(KernelDied("Oops."), "b"))
    assert [cell.status is Status.AGREES for cell in found.cells] == [True, False, True, True]
    (differing,) = found.differing
    assert (differing.case.name, differing.mismatches) == ("b", ("Oops.",))
    assert (guests.boots, found.exit_status) == (2, Exit.DIFFERS)


def test_a_kernel_that_dies_each_time_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    many = [dataclasses.replace(CASES[0], name=f"m{number}") for number in range(FAULTS_MAX + 3)]
    monkeypatch.setattr("tests.unit.test_tracing_run.CASES", many)
    names = [made.name for made in many]
    found, guests = run(monkeypatch, tmp_path, failing(KernelDied("Oops."), *names))
    assert guests.boots == len(found.cells) == FAULTS_MAX + 1
    assert found.errors == (f"The kernel died {FAULTS_MAX + 1} times under own.",)
    assert found.exit_status is Exit.DIFFERS


@pytest.mark.parametrize(("times", "status"), [(1, Exit.AGREES), (99, Exit.INFRASTRUCTURE)])
def test_our_own_failures_are_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, times: int, status: Exit
) -> None:
    play = failing(InfrastructureError("QEMU ended."), "c", times=times)
    found, guests = run(monkeypatch, tmp_path, play)
    assert (guests.boots, found.exit_status) == (2, status)
    assert found.errors == (() if times == 1 else ("own: QEMU ended.",))


class Dies(Reads):
    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        raise KernelDied("Oops.")


def test_a_kernel_that_dies_between_plays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found, guests = run(monkeypatch, tmp_path, attachment=Dies)
    assert (guests.boots, found.cells) == (2, ())
    assert found.kernel_errors == ("own: Oops.",)
    assert found.exit_status is Exit.DIFFERS


class Warns(Dies):
    """As long as case "c" is played."""

    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        if any(one.case.name == "c" for one in functions):
            raise KernelFault("The kernel complained.")
        return Reads.values(self, guest, functions, observed)


@pytest.mark.parametrize("before", [(), (0,), (None,), (99,)])
def test_a_complaint_is_of_the_case_that_it_came_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: tuple[int | None, ...]
) -> None:
    complaints = (*before, 3, 4)
    found, guests = run(monkeypatch, tmp_path, attachment=Warns, complaints=complaints)
    (differing,) = found.differing
    assert (differing.case.name, differing.mismatches) == ("c", ("The kernel complained.",))
    assert (len(found.cells), guests.boots, found.kernel_errors) == (4, 2, ())


class Refused(Reads):
    refused = "Operation not permitted"


def test_a_tracer_that_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found, _ = run(monkeypatch, tmp_path, attachment=Refused)
    assert {cell.mismatches for cell in found.cells} == {
        ("it was refused: Operation not permitted",)
    }


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda seq, line: Refusal(seq, line, "no such case"), "did not play it: no such case"),
        (lambda seq, line: observe(CASES[0], Policy(Rule.NONE), seq=seq, line="% none 0 z"),
         "The guest played '% none 0 z'."),
        (lambda seq, line: observe(CASES[0], Policy(Rule.NONE), seq=seq + 1, line=line),
         "The guest's record 2 did not come."),
        (lambda seq, line: StreamEnd(), "The guest's record 2 did not come."),
    ],
)  # fmt: skip
def test_another_record_than_is_due(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: Play, sentence: str
) -> None:
    def play(number: int, line: str) -> Record:
        return (wrong if line.endswith(" b") else played)(number, line)

    found, _ = run(monkeypatch, tmp_path, play)
    (differing,) = found.differing
    assert (differing.case.name, len(found.cells)) == ("b", 4)
    assert sentence in differing.mismatches[0]


# The functions that an ftrace redirect leads to.


def twin(made: Case) -> str:
    text = twingen.source([made])
    return text[: text.index("void * const probe_twins")]


def test_a_twin_looks_at_each_argument_and_passes_them_on() -> None:
    made = case("{types: {large: ['long[3]']}, arguments: [long, large]}", "one-two")
    text = twin(made)
    assert "static __probed int jpcase_one_two_twin(long a0,\n" in text
    assert "probe_look(LOOK_BEFORE, 0, &a0, sizeof(a0));" in text
    assert "probe_look(LOOK_BEFORE, 1, &a1, sizeof(a1));" in text
    assert "return jpcase_one_two_target(a0, a1);" in text


def test_a_twin_cannot_pass_on_a_tail() -> None:
    text = twin(case("{arguments: [long, '...', long]}"))
    assert "va_arg(ap, long)" in text
    assert "return 0;" in text
    assert "return jpcase" not in text


def test_the_lists_have_all_cases_in_order() -> None:
    every = list(Catalog().cases.values())
    text = twingen.source(every)
    twins = text[text.index("probe_twins[]") :].partition("};")[0].splitlines()[1:]
    numbers = text.partition("BTF_ID_LIST_GLOBAL")[2].splitlines()[1 : len(every) + 1]
    assert f"(probe_modifiable, {len(every)})" in text
    for made, entry, number in zip(every, twins, numbers, strict=True):
        name = f"jpcase_{made.name.replace('-', '_')}"
        assert entry == ("\tNULL," if made.real else f"\t{name}_twin,")
        assert number == ("BTF_ID_UNUSED" if made.real else f"BTF_ID(func, {name}_target)")


# What is asked for.


@pytest.mark.parametrize(
    ("words", "sentence", "next_step"),
    [
        (
            ["--tracer", "fexti"],
            "There is no tracer 'fexti'. The nearest: fexit",
            "See: jprobe-harness list tracers",
        ),
        (["--case", "stak-9"], "stak-9", ""),
        (["--tracer", "redirect", "--case", "real-*"], "take none of the cases", "test modules"),
        (["--variant", "none", "--case", "real-*"], "take none of the cases", "GDB"),
        (["--witness", "gdb", "--case", "real-open"], "take none of the cases", "GDB"),
        (["--kernel", "debain:7.2"], "debain", ""),
    ],
)
def test_what_cannot_be_traced(
    words: list[str], sentence: str, next_step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tracers", *words]) == Exit.USAGE
    error = " ".join(capsys.readouterr().err.split())
    assert sentence in error
    assert next_step in error
    assert "Traceback" not in error


def test_a_kernel_that_is_wrong_is_told_of_before_the_first_boot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare(name: str, *arguments: object, **options: object) -> object:
        if name == "debian:7.2":
            raise ConfigError("There is no such kernel.", "Choose another one.")
        return None, None

    monkeypatch.setattr(job, "prepare", prepare)
    monkeypatch.setattr(tracing, "run", lambda *on, **options: pytest.fail("a guest was booted"))
    words = ["--kernel", "debian:6.1", "--kernel", "debian:7.2"]
    assert cli.main(["tracers", *words]) == Exit.USAGE
    assert "There is no such kernel." in capsys.readouterr().err


def test_what_was_judged_before_an_interruption_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = case("arguments: [long]")

    def cells(one: tracing._OneTracer, cases: Sequence[Case]) -> list[Cell]:
        if one._trial.tracer.name != "kprobe":
            raise KeyboardInterrupt
        return [Cell("kprobe", made, None, Seen())]

    monkeypatch.setattr(tracing._OneTracer, "cells", cells)
    chosen = [tracers()["kprobe"], tracers()["fexit"]]
    built = Modules(tmp_path, "m", tmp_path, traced=True)
    with pytest.raises(Interrupted) as caught:
        tracing.run(made_up(tmp_path), built, chosen, [made])
    result: Tracing = caught.value.result
    assert ([cell.tracer for cell in result.cells], result.planned) == (["kprobe"], 2)
