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
    KernelHung,
    UnfitEmulator,
)
from harness.guest.records import Ran, Record, Refusal, StreamEnd
from harness.inspect.guest import Guest
from harness.model.observation import Observation
from harness.model.policy import Policy, Rule
from harness.modules.build import Modules
from harness.run import job
from harness.run.batch import FAULTS_MAX
from harness.run.result import Interrupted
from harness.tracers.catalog import tracers
from harness.tracers.cell import Cell, Seen, Status, passed
from harness.tracers.reading import Read, Reading
from harness.tracers.tracer import Kind, Ruled, Tracer
from harness.tracing import run as tracing
from harness.tracing.function import Attachment, Function, Values
from harness.tracing.run import Tracing
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
    # What is raised at the end of each guest in turn, and in place of each.
    late: Sequence[KernelFault | None] = ()
    instead: BaseException | None = None

    @contextmanager
    def booted(self, kernel: object, modules: object, config: object) -> Iterator[Guest]:
        self.boots += 1
        if self.instead:
            raise self.instead
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
            check_quiet=self._heard,
        )
        faked.play_lines = functools.partial(self._played, faked.session)
        yield cast(Guest, faked)

    def _heard(self) -> None:
        if self.boots <= len(self.late) and (late := self.late[self.boots - 1]):
            raise late

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
    late: Sequence[KernelFault | None] = (),
    instead: BaseException | None = None,
) -> tuple[Tracing, Guests]:
    guests = Guests(play, 0, complaints, late, instead)
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
    assert guests.boots == len(found.cells) == FAULTS_MAX
    assert found.errors == (f"own: The kernel died {FAULTS_MAX} times; the rest is left.",)
    assert found.exit_status is Exit.DIFFERS


@pytest.mark.parametrize(("times", "status"), [(1, Exit.AGREES), (99, Exit.INFRASTRUCTURE)])
def test_our_own_failures_are_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, times: int, status: Exit
) -> None:
    play = failing(InfrastructureError("QEMU ended."), "c", times=times)
    found, guests = run(monkeypatch, tmp_path, play)
    assert (guests.boots, found.exit_status) == (2, status)
    assert found.errors == (() if times == 1 else ("own: QEMU ended.",))
    assert found.retried == ("own: QEMU ended.",)


class Dies(Reads):
    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        raise KernelDied("Oops.")


def test_a_kernel_that_dies_between_plays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found, guests = run(monkeypatch, tmp_path, attachment=Dies)
    assert (guests.boots, found.cells) == (2, ())
    assert found.kernel_errors == found.retried == ("own: Oops.",)
    assert found.exit_status is Exit.UNJUDGED


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


LATE = KernelFault("The kernel complained.")


def test_a_complaint_that_is_heard_at_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found, guests = run(monkeypatch, tmp_path, complaints=(3,), late=(LATE,))
    (differing,) = found.differing
    assert (differing.case.name, len(found.cells), guests.boots) == ("c", 4, 1)
    # It came in no play: text was patched.
    found, guests = run(monkeypatch, tmp_path, late=(LATE,))
    assert (len(found.cells), guests.boots, found.exit_status) == (4, 2, Exit.AGREES)
    assert found.retried == ("own: The kernel complained.",)
    found, guests = run(monkeypatch, tmp_path, late=(LATE, LATE))
    assert (guests.boots, found.exit_status) == (2, Exit.DIFFERS)
    assert found.kernel_errors == ("own: The kernel complained.",)


@pytest.mark.parametrize(
    ("error", "boots", "status"),
    [
        (KernelHung("It does not boot."), 1, Exit.UNJUDGED),
        (UnfitEmulator("QEMU is too old."), 1, Exit.INFRASTRUCTURE),
        (InfrastructureError("QEMU ended."), 2, Exit.INFRASTRUCTURE),
    ],
)
def test_a_guest_that_cannot_be_had_is_not_asked_of_each_tracer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: HarnessError, boots: int, status: Exit
) -> None:
    two = (tracer("one"), tracer("two"))
    found, guests = run(monkeypatch, tmp_path, played, *two, instead=error)
    assert (found.cells, guests.boots, found.exit_status) == ((), boots, status)


def test_taint_is_red(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def play(number: int, line: str) -> Record:
        return dataclasses.replace(
            cast(Observation, played(number, line)), new_taint=512 * (number == 2)
        )

    found, _ = run(monkeypatch, tmp_path, play)
    (differing,) = found.differing
    assert (differing.case.name, differing.mismatches) == ("b", ("the kernel gained taint 0x200",))


def test_a_kernel_without_any_function_is_not_green() -> None:
    assert Tracing("some:kernel", "6.1", (), 0).exit_status is Exit.INFRASTRUCTURE


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

    def play(one: tracing._OneTracer) -> None:
        name = one._trial.tracer.name
        one._found[made.name] = Cell(name, made, None, Seen())
        if name == "fexit":
            raise KeyboardInterrupt

    monkeypatch.setattr(tracing._OneTracer, "play", play)
    chosen = [tracers()[name] for name in ("kprobe", "fexit", "fentry")]
    built = Modules(tmp_path, "m", tmp_path, traced=True)
    with pytest.raises(Interrupted) as caught:
        tracing.run(made_up(tmp_path), built, chosen, [made])
    result: Tracing = caught.value.result
    assert [cell.tracer for cell in result.cells] == ["kprobe", "fexit"]
    assert (result.planned, result.broken) == (3, False)


def test_a_function_that_one_of_two_kernels_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (real,) = Catalog().select_cases(["real-open"])
    one, other = (made_up(tmp_path / name) for name in ("one", "other"))
    monkeypatch.setattr(
        tracing, "lacking", lambda kernel, cases: {"real-open": "none"} if kernel is one else {}
    )
    tracing.check([one, other], [real])
    with pytest.raises(ConfigError, match="has the function of no case that is chosen: real-open"):
        tracing.check([one], [real])
