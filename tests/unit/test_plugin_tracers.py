# SPDX-License-Identifier: GPL-2.0-only
"""The plugin's items of tracers, in a pytest of its own; no guest."""

from __future__ import annotations

import pytest

from harness.cases.catalog import Catalog
from harness.run import job
from harness.tracers.catalog import tracers
from harness.tracing import run as tracing

pytest_plugins = ["pytester"]

KERNEL = "--kernel=debian:7.2"
ITEM = "jprobe::debian:7.2::fexit[stack-10]"
# A plugin in place of all that boots: what is played, in one line a guest.
PLAYED = """
from harness.errors import InfrastructureError
from harness.run import job
from harness.run.result import Broken
from harness.tracers.cell import Cell, Seen
from harness.tracers.reading import Reading
from harness.tracing import run as tracing
from harness.tracing.run import Tracing

def prepare(kernel, catalog, *, options, traced):
    assert traced
    print(f"prepared {kernel}")
    return kernel, None

def cell(tracer, case):
    if tracer == "kprobe":
        return Cell(tracer, case, None, Seen())
    if tracer == "fentry":
        return Cell(tracer, case, Reading(refused="variadic"), Seen(refused="load: EINVAL"))
    if (tracer, case.name) == ("fexit", "stack-12"):
        return Cell(tracer, case, Reading(), Seen(refused="load: EINVAL"))
    return Cell(tracer, case, Reading(), Seen())

def run(kernel, modules, tracers, cases):
    (tracer,) = tracers
    print(f"played {kernel} {tracer.name}: {len(cases)}")
    if tracer.name == "kprobe-multi":
        raise InfrastructureError("There is no room.")
    missing = {case.name: "it is not there" for case in cases if case.name == "real-vsnprintf"}
    cells = tuple(cell(tracer.name, case) for case in cases if case.name not in missing)
    kernel_errors = ("The kernel fell over.",) if tracer.name == "redirect" else ()
    errors = ("QEMU is gone.",) if tracer.name == "fprobe" else ()
    found = cells[:1] if errors or tracer.name == "fprobe-exit" else cells
    result = Tracing(kernel, "7.2", found, len(cases), missing, kernel_errors, errors)
    if tracer.name == "fprobe-exit":
        raise Broken(result, 1, len(cases), "cells") from ZeroDivisionError()
    return result

job.prepare, tracing.run = prepare, run
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> None:
    """Without a plugin that takes longer to load than the rest; pytester clears the variable."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")


@pytest.fixture
def played(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Run with -p played."""
    pytester.makepyfile(played=PLAYED)
    pytester.syspathinsert()
    # What the plugin replaces is put back.
    monkeypatch.setattr(job, "prepare", job.prepare)
    monkeypatch.setattr(tracing, "run", tracing.run)
    return pytester


def listed(pytester: pytest.Pytester, *words: str) -> list[str]:
    result = pytester.runpytest_inprocess(KERNEL, *words, "--collect-only", "-q")
    return [text for text in result.outlines if text.startswith("jprobe::")]


def test_with_a_tracer_its_cells_alone_are_items(pytester: pytest.Pytester) -> None:
    assert listed(pytester, "--tracer=fexit", "--case=stack-10") == [ITEM]
    both = listed(pytester, "--tracer=fexit", "--variant=none", "--case=stack-10")
    assert both == ["jprobe::debian:7.2::none::stack-10", ITEM]


def test_tracers_are_chosen_by_patterns(pytester: pytest.Pytester) -> None:
    found = listed(pytester, "--tracer=fp*", "--tracer=fprobe", "--case=stack-10")
    assert found == [f"jprobe::debian:7.2::{name}[stack-10]" for name in ("fprobe-exit", "fprobe")]
    assert len(listed(pytester, "--tracer=all", "--case=stack-10")) == len(tracers())
    cases = Catalog().cases
    assert len(listed(pytester, "--tracer=kprobe")) == len(cases)
    # Functions of the kernel's own have no twin to go on in.
    own = [name for name, case in cases.items() if not case.real]
    assert len(listed(pytester, "--tracer=redirect")) == len(own)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([KERNEL, "--tracer=fexti"], "There is no tracer 'fexti'. The nearest: fexit*"),
        ([KERNEL, "--tracer=redirect", "--case=real-*"], "*take none of the cases that are."),
        (["jprobe::debian:7.2::redirect[real-vsnprintf]"], "*take none of the cases that are."),
        (["jprobe::debian:9.9::fexit[stack-9]"], "There is no kernel 'debian:9.9'. The nearest*"),
        (["jprobe::debian:7.2::fexit[stak-9]"], "There is no case 'stak-9'. The nearest: stack*"),
        (["jprobe::debian:7.2::fexti[stack-9]"], "*is the ID of no item."),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_there_is_not_is_one_usage_error(
    pytester: pytest.Pytester, words: list[str], sentence: str
) -> None:
    result = pytester.runpytest_inprocess(*words)
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_printed_id_plays_that_item(played: pytest.Pytester) -> None:
    result = played.runpytest_inprocess("-p", "played", "-s", "-rA", ITEM, ITEM)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*played debian:7.2 fexit: 1", f"PASSED {ITEM}"])
    # That of a play ends with a bracket, too, where it names a pattern of cases.
    plays = "jprobe::debian:7.2::none::stack-1[0267]"
    found = played.runpytest_inprocess(plays, ITEM, "--collect-only", "-q")
    found.stdout.fnmatch_lines(["*::none::stack-16", ITEM, "5 tests collected*"])


def test_the_cases_of_a_tracer_share_a_guest(played: pytest.Pytester) -> None:
    words = (KERNEL, "--tracer=fentry", "--tracer=fexit", "--case=stack-1[0267]", "-s")
    result = played.runpytest_inprocess("-p", "played", *words)
    assert sum("prepared debian:7.2" in text for text in result.outlines) == 1
    said = [text.rpartition("debian:7.2 ")[2] for text in result.outlines if "played d" in text]
    assert said == ["fentry: 4", "fexit: 4"]
    # A refusal is a result, and passes where it was predicted.
    result.assert_outcomes(passed=7, failed=1)
    result.stdout.fnmatch_lines(
        [
            "fexit x stack-12 on debian:7.2 is not as predicted:",
            "  it was refused: load: EINVAL",
        ]
    )


def test_an_item_that_runs_again_is_played_again(played: pytest.Pytester) -> None:
    played.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(1 + (item.traced.case.name == "stack-10")):
                runtestprotocol(item, log=False, nextitem=nextitem)
            return True
        """
    )
    words = (KERNEL, "--tracer=fentry", "--case=stack-1[0267]", "-s", "-p", "played")
    result = played.runpytest_inprocess(*words)
    counts = [text.rpartition(": ")[2] for text in result.outlines if "played debian" in text]
    assert counts == ["4", "1"]


def test_what_is_not_predicted_is_skipped_with_the_reason(played: pytest.Pytester) -> None:
    words = ("-p", "played", KERNEL, "--tracer=kprobe", "--case=stack-1[0267]", "-rs")
    result = played.runpytest_inprocess(*words)
    result.assert_outcomes(skipped=4)
    newest = ".".join(map(str, max(tracers()["kprobe"].checked)))
    result.stdout.fnmatch_lines([f"SKIPPED*not predicted: the kernel is newer than v{newest}, *"])


def test_a_function_that_a_kernel_does_not_have_is_skipped(played: pytest.Pytester) -> None:
    words = ("-p", "played", KERNEL, "--tracer=fentry", "--case=real-vsnprintf", "-rs")
    result = played.runpytest_inprocess(*words)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*debian:7.2 has nothing to play it on: it is not there"])


@pytest.mark.parametrize(
    ("tracer", "outcomes", "sentence"),
    [
        ("fprobe", {"passed": 1, "failed": 3}, "fprobe x stack-1* was not played. QEMU is gone."),
        ("redirect", {"failed": 4}, "The kernel fell over."),
        ("kprobe-multi", {"failed": 4}, "There is no room."),
        (
            "fprobe-exit",
            {"passed": 1, "errors": 3},
            "*ERROR at setup of debian:7.2 fprobe-exit x stack-*",
        ),
    ],
)
def test_an_error_is_reported_on_the_items_that_it_kept_from_a_verdict(
    played: pytest.Pytester, tracer: str, outcomes: dict[str, int], sentence: str
) -> None:
    words = ("-p", "played", KERNEL, "--case=stack-1[0267]", f"--tracer={tracer}")
    # Those of another tracer are none of its.
    result = played.runpytest_inprocess(*words, "--tracer=fentry")
    result.assert_outcomes(**{**outcomes, "passed": outcomes.get("passed", 0) + 4})
    result.stdout.fnmatch_lines([sentence])
