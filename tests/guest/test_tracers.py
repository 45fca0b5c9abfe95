# SPDX-License-Identifier: GPL-2.0-only
"""What each of today's probes reads of arguments in a guest, and things broken on purpose."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from harness.abi.aapcs64 import Placement
from harness.abi.ctype import CType
from harness.abi.offsets import Offsets
from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.guest.deadlines import Deadlines
from harness.inspect.guest import Guest, booted
from harness.kernel.kernel import Kernel
from harness.model.case import Case
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.run import job
from harness.tracers import rules
from harness.tracers.catalog import select, tracers
from harness.tracers.cell import Cell, Status
from harness.tracers.reading import Read, Traced
from harness.tracers.tracer import Tracer
from harness.tracing import events, function, witness
from harness.tracing import run as tracing
from harness.tracing.events import Fetch
from harness.tracing.function import Function
from harness.tracing.run import Tracing
from harness.vm.gdb import Gdb
from harness.vm.machine import Config
from tests.guest.conftest import BrokenTree

# It has all tracers.
KERNEL = "debian:7.2"
ALL_KERNELS = ("debian:5.10", "debian:6.1", "debian:6.12", "debian:7.2")
QUICK = [
    "stack-9", "struct-16-aligned", "struct-16-registers", "mix-int128-aligned", "mix-int128-falls",
    "by-ref-24", "box-stack", "va-list-stack", "variadic-stack", "union-stack", "irq-stack-9",
]  # fmt: skip
SECONDS = 1800


@pytest.fixture(scope="module")
def prepared(catalog: Catalog) -> tuple[Kernel, Modules]:
    return job.prepare(KERNEL, catalog, traced=True)


Play = Callable[..., dict[str, Cell]]


@pytest.fixture(scope="module")
def play(prepared: tuple[Kernel, Modules], catalog: Catalog) -> Play:
    """Plays cases under one tracer; returns the cells by the case's name."""

    def run(
        tracer: str | Tracer, *cases: str | Case, built: Modules | None = None
    ) -> dict[str, Cell]:
        kernel, usual = prepared
        chosen = [catalog.cases[one] if isinstance(one, str) else one for one in cases]
        one = tracers()[tracer] if isinstance(tracer, str) else tracer
        found = tracing.run(kernel, built or usual, [one], chosen)
        assert (found.errors, found.kernel_errors) == ((), ())
        return {cell.case.name: cell for cell in found.cells}

    return run


@pytest.fixture(scope="module")
def quick(prepared: tuple[Kernel, Modules], catalog: Catalog) -> Tracing:
    kernel, built = prepared
    return tracing.run(kernel, built, select([]), [catalog.cases[name] for name in QUICK])


def cell(found: Tracing, tracer: str, case: str) -> Cell:
    (one,) = (one for one in found.cells if (one.tracer, one.case.name) == (tracer, case))
    return one


def test_each_cell_is_as_predicted(quick: Tracing) -> None:
    assert [(one.tracer, one.case.name, one.mismatches) for one in quick.differing] == []
    assert {one.status for one in quick.cells} == {Status.AGREES}
    assert len(quick.cells) == quick.planned == len(tracers()) * len(QUICK)
    assert quick.exit_status is Exit.AGREES
    # Each tracer has read something, and what is refused has a reason.
    assert {one.tracer for one in quick.cells if Read.RIGHT in one.reads} == set(tracers())
    assert all(one.seen.refused or one.seen.values for one in quick.cells)


@pytest.mark.parametrize("tracer", ["fexit", "fmod-ret"])
@pytest.mark.parametrize("case", ["struct-16-aligned", "mix-int128-aligned"])
def test_the_last_argument_is_lost(quick: Tracing, tracer: str, case: str) -> None:
    """The trampoline's copy is one slot short where the compiler left one empty."""
    one = cell(quick, tracer, case)
    assert one.left == {10: Offsets.span(0, 8)}
    assert one.arrived[10] != one.passed[10].value
    assert one.arrived[:10] == tuple(argument.value for argument in one.passed[:10])
    # A probe at the entry alone leaves the call as it is.
    assert cell(quick, "fentry", case).left == {}


def test_what_follows_an_aggregate_by_reference_is_shifted(quick: Tracing) -> None:
    """It is printed as three words, of which the second and third are other registers."""
    one = cell(quick, "func-args", "by-ref-24")
    assert one.reads[:3] == (Read.RIGHT, Read.ADDRESS, Read.ANOTHER)
    octets, following = one.seen.values[1], one.passed[2].value
    assert octets
    assert one.passed[1].at == int.from_bytes(octets[:8], "little")
    assert octets[8:16] == following


def test_events_of_the_kernels_own_functions_come_and_go(catalog: Catalog) -> None:
    """One after the other, on the oldest kernel, which cannot delete a group of them."""
    kernel, built = job.prepare(ALL_KERNELS[0], catalog, traced=True)
    cases = catalog.select_cases(["real-open", "real-udp-cork", "real-set-time"])
    found = tracing.run(kernel, built, select(["kprobe-exact"]), cases)
    assert [one.mismatches for one in found.cells] == [()] * 3


@pytest.mark.full
@pytest.mark.parametrize("kernel_spec", ALL_KERNELS)
def test_all_cells_of_a_stock_kernel(kernel_spec: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = subprocess.run(
        ["jprobe-harness", "tracers", "--kernel", kernel_spec, "--json", out],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (kernel,) = json.loads(out.read_text())["kernels"]
    assert kernel["planned"] == len(kernel["cells"]) > 14 * 100
    assert {one["status"] for one in kernel["cells"]} == {"as predicted"}


# Things broken on purpose.


def red(found: Mapping[str, Cell], case: str, words: str) -> None:
    assert found[case].status is Status.DIFFERS
    assert any(words in sentence for sentence in found[case].mismatches), found[case].mismatches


@pytest.mark.parametrize("off", [-1, 1])
def test_a_rule_that_is_off_by_one_register(
    play: Play, monkeypatch: pytest.MonkeyPatch, off: int
) -> None:
    right = rules._at

    def shifted(type_: CType, placement: Placement, first: int, words: int) -> Read:
        return right(type_, placement, first + off, words)

    monkeypatch.setattr(rules, "_at", shifted)
    found = play("kprobe", "stack-9")
    red(found, "stack-9", "argument 3 was read as right, predicted another's, better than")


def test_an_event_that_fetches_the_next_argument(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def following(one: Function) -> Iterator[Fetch]:
        for index in range(len(one.traced.types)):
            yield Fetch(f"v{index}=$arg{index + 2}:x64", f"v{index}", index)

    monkeypatch.setitem(events._FETCHES, "index", following)
    red(play("kprobe", "stack-9"), "stack-9", "argument 0 was read as another's, predicted right")


def test_two_values_that_are_swapped(play: Play, catalog: Catalog) -> None:
    case = catalog.cases["stack-9"]
    first, second, *rest = case.arguments
    swapped = dataclasses.replace(case, arguments=(second, first, *rest))
    found = play("kprobe-exact", swapped, "stack-8")
    red(found, "stack-9", "argument 0 was read as another's, predicted right")
    red(found, "stack-9", "the function saw argument 1 changed in byte 0-7")
    assert not any("argument 2" in sentence for sentence in found["stack-9"].mismatches)
    assert found["stack-8"].status is Status.AGREES


def ruled_as(tracer: str, other: str) -> Tracer:
    return dataclasses.replace(tracers()[tracer], rules=tracers()[other].rules)


def test_a_loss_that_is_not_predicted(play: Play) -> None:
    found = play(ruled_as("fexit", "fentry"), "struct-16-aligned", "stack-9")
    red(found, "struct-16-aligned", "the function saw argument 10 changed in byte 0-7")
    assert found["stack-9"].status is Status.AGREES


def test_a_loss_that_does_not_happen(play: Play) -> None:
    found = play(ruled_as("fentry", "fexit"), "struct-16-aligned", "stack-9")
    words = "the function saw argument 10 as it was passed, better than predicted"
    red(found, "struct-16-aligned", words)
    assert found["stack-9"].status is Status.AGREES


def test_a_refusal_that_does_not_come(play: Play) -> None:
    found = play(ruled_as("kprobe-exact", "fentry"), "variadic-registers", "stack-9")
    words = "it was not refused, predicted a refusal (variadic), better than predicted"
    red(found, "variadic-registers", words)
    assert found["stack-9"].status is Status.AGREES


def test_a_refusal_that_is_not_predicted(play: Play) -> None:
    found = play(ruled_as("fentry", "kprobe-exact"), "variadic-registers", "stack-9")
    words = "it was refused: load: EINVAL: The function jpcase_variadic_registers_target with var"
    red(found, "variadic-registers", words)
    assert found["stack-9"].status is Status.AGREES


Built = Callable[[str, str, str, list[str]], Modules]


@pytest.fixture
def built(prepared: tuple[Kernel, Modules], catalog: Catalog, broken_tree: BrokenTree) -> Built:
    """Builds modules and programs in which one thing was replaced."""

    def build(file: str, old: str, new: str, cases: list[str]) -> Modules:
        chosen = catalog.select_cases(cases)
        root = broken_tree(file, old, new)
        return modules.build(prepared[0], chosen, root=root, traced=True)

    return build


def test_a_tracer_before_that_takes_no_function_of_the_kernels_own(
    prepared: tuple[Kernel, Modules], catalog: Catalog
) -> None:
    kernel, usual = prepared
    chosen = [tracers()["redirect"], tracers()["kprobe"]]
    cases = [catalog.cases["stack-9"], catalog.cases["real-set-time"]]
    found = tracing.run(kernel, usual, chosen, cases)
    assert [one.mismatches for one in found.differing] == []
    assert (len(found.cells), found.planned) == (3, 3)


def test_a_program_that_reads_the_slot_beside(play: Play, built: Built) -> None:
    cases = ["stack-8", "stack-9"]
    broken = built("trace/trace.c", "at = SET(2, i);", "at = SET(2, i ^ 1);", cases)
    found = play("fentry", "stack-8", built=broken)
    assert found["stack-8"].reads == (Read.ANOTHER,) * 8
    red(found, "stack-8", "argument 7 was read as another's, predicted right")
    # What reads by the context does so by another line.
    assert play("fentry-context", "stack-8", built=broken)["stack-8"].status is Status.AGREES


def test_a_redirect_that_calls_with_another_value(play: Play, built: Built) -> None:
    """What was kept of the arguments is right, and what arrives is not."""
    broken = built(
        "probe-targets/redirect.c",
        "	/* The function it is sent to calls the case's own. */\n",
        "	if (redirected)\n		((struct pt_regs *)fregs)->regs[2] ^= 1;\n",
        ["stack-9"],
    )
    red(play("redirect", "stack-9", built=broken), "stack-9", "saw argument 2 changed in byte 0")


DIES, HANGS, WARNS = "stack-10", "stack-12", "stack-16"
FAULTS = f"""\
	if (!strcmp(probe_playing->name, "{DIES}"))
		WRITE_ONCE(*(int *)NULL, 1);
	while (!strcmp(probe_playing->name, "{HANGS}"))
		cpu_relax();
	WARN_ON_ONCE(!strcmp(probe_playing->name, "{WARNS}"));
	play.target_runs++;
"""


@pytest.mark.parametrize("tracer", ["kprobe", pytest.param("fexit", marks=pytest.mark.full)])
def test_a_kernel_that_dies_under_a_tracer(
    prepared: tuple[Kernel, Modules],
    catalog: Catalog,
    built: Built,
    monkeypatch: pytest.MonkeyPatch,
    tracer: str,
) -> None:
    cases = ["stack-8", DIES, HANGS, WARNS, "stack-9"]
    broken = built("probe-targets/observe.c", "	play.target_runs++;\n", FAULTS, cases)
    soon = Deadlines(play=8, ping=60, end=10)
    monkeypatch.setattr(tracing, "booted", functools.partial(booted, deadlines=soon))
    chosen = catalog.select_cases(cases)
    found = tracing.run(prepared[0], broken, [tracers()[tracer]], chosen)
    by_case = {one.case.name: one for one in found.cells}
    assert (found.errors, found.kernel_errors) == ((), ())
    assert {name: one.status for name, one in by_case.items()} == {
        "stack-8": Status.AGREES, DIES: Status.DIFFERS, HANGS: Status.DIFFERS,
        WARNS: Status.DIFFERS, "stack-9": Status.AGREES,
    }  # fmt: skip
    assert "Unable to handle kernel NULL pointer" in by_case[DIES].mismatches[0]
    assert "does not end; the guest still answers" in by_case[HANGS].mismatches[0]
    assert "The kernel complained: WARNING: " in by_case[WARNS].mismatches[0]
    assert found.exit_status is Exit.DIFFERS


# Kernels that refuse.

LOCKDOWN = "/sys/kernel/security/lockdown"


def lock_down(guest: Guest, level: str) -> None:
    guest.run("/bin/busybox mount -t securityfs none /sys/kernel/security")
    ran = guest.run(f"echo {level} >{LOCKDOWN}; /bin/busybox cat {LOCKDOWN}")
    assert f"[{level}]" in ran.output, ran.output


def functions(case: Case) -> Sequence[Function]:
    traced = Traced(case.types, case.layout, variadic=False)
    return [Function(case, f"jpcase_{case.name.replace('-', '_')}_target", 0, traced)]


def test_what_a_kernel_that_is_locked_down_says(
    prepared: tuple[Kernel, Modules], catalog: Catalog
) -> None:
    """Tracefs is closed for confidentiality's sake, our own file for integrity's; bpf(2) is not."""
    case = catalog.cases["stack-9"]

    def said(guest: Guest, name: str) -> str:
        attached = tracing.attachment(tracers()[name])
        (why,) = attached.attach(guest, functions(case))
        # To read what was never attached raises nothing.
        assert attached.values(guest, functions(case), [None]) in ([()], [(None,) * 9])
        return why

    with booted(*prepared) as guest:
        function.mount(guest)
        lock_down(guest, "integrity")
        assert said(guest, "redirect") == "Operation not permitted"
        lock_down(guest, "confidentiality")
        assert said(guest, "kprobe") == said(guest, "fprobe") == "Operation not permitted"
        assert said(guest, "func-args") == "no func-args: Operation not permitted"
        assert said(guest, "kprobe-multi") == ""


def test_file_systems_that_are_not_there(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is in the cell, and the case is played."""
    monkeypatch.setattr(tracing, "mount", lambda guest: None)
    for name, words in {
        "kprobe": "nonexistent directory",
        "func-args": "no func-args: nonexistent directory",
        "fentry": "map: ENOENT",
    }.items():
        one = play(name, "stack-9")["stack-9"]
        assert one.seen.refused == words
        assert one.mismatches == (f"it was refused: {words}",)
        assert one.arrived == tuple(argument.value for argument in one.passed)


def test_a_guest_that_locks_itself_down_takes_no_plan(
    prepared: tuple[Kernel, Modules], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "mount", functools.partial(lock_down, level="integrity"))
    found = tracing.run(*prepared, select(["kprobe"]), [catalog.cases["stack-9"]])
    (error,) = found.errors
    assert "kprobe: The guest takes no plan: " in error
    assert "stream: Operation not permitted" in error
    assert (found.cells, found.exit_status) == ((), Exit.INFRASTRUCTURE)


def test_a_kernel_that_boots_locked_down_takes_no_modules_of_ours(
    prepared: tuple[Kernel, Modules], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = Config(append="lockdown=integrity")
    monkeypatch.setattr(tracing, "booted", lambda kernel, own, _: booted(kernel, own, locked))
    found = tracing.run(*prepared, select(["kprobe"]), [catalog.cases["stack-9"]])
    (error,) = found.errors
    assert error.startswith("kprobe: The guest could not set itself up.")
    assert "unsigned module loading is restricted" in error
    assert (found.cells, found.exit_status) == ((), Exit.INFRASTRUCTURE)


def test_what_gdb_sees_is_what_the_function_records(
    prepared: tuple[Kernel, Modules], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, usual = prepared
    cases = [catalog.cases["struct-16-aligned"], catalog.cases["by-ref-24"]]
    found = tracing.run(kernel, usual, [tracers()["fexit"]], cases, watched=True)
    assert [one.witness for one in found.cells] == [(), ()]
    assert found.cells[0].left
    # The positive control: a witness that looks a word too far.
    right = witness._placed

    def beside(gdb: Gdb, registers: dict[int, int], placement: Placement, size: int) -> bytes:
        moved = (
            dataclasses.replace(placement, stack=placement.stack + 8)
            if placement.stack
            else placement
        )
        return right(gdb, registers, moved, size)

    monkeypatch.setattr(witness, "_placed", beside)
    one = tracing.run(kernel, usual, [tracers()["fexit"]], cases[:1], watched=True).cells[0]
    assert one.status is Status.DIFFERS
    assert any("the witness disagrees: argument 10 was" in text for text in one.mismatches)
