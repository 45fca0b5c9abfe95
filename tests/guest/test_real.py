# SPDX-License-Identifier: GPL-2.0-only
"""Functions of the kernel's own: what is predicted of them, who is hit, and what would show."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.inspect.guest import booted
from harness.inspect.witness import Witness
from harness.kernel.kernel import Kernel
from harness.model.case import Effect
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.prototypes.probed import lacking
from harness.run import batch, job, repro
from harness.run.observer import Observer
from harness.run.plan import Outcome, plays
from harness.run.result import Result
from tests.guest.conftest import Broken, BrokenTree

REAL = "probe-targets/real.c"
PORT = "jprobe-port/jprobe_port.c"
DRIVE = "drive/drive.c"


@pytest.fixture(scope="module")
def built(kernel: Kernel, catalog: Catalog) -> Modules:
    return modules.build(kernel, list(catalog.cases.values()))


def played(
    kernel: Kernel,
    built: Modules,
    catalog: Catalog,
    variants: Sequence[str],
    cases: Sequence[str] = ("real-*",),
    observer: Observer | None = None,
) -> Result:
    chosen = catalog.select_cases(cases)
    missing = lacking(kernel, chosen)
    plan = plays(
        catalog.select_variants(variants), [case for case in chosen if case.name not in missing]
    )
    return repro.run(kernel, built, plan, observer=observer)


def reasons(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    return [outcome.reasons for outcome in outcomes if outcome.reasons]


def test_each_kernel_has_cases_of_each_sort(kernel: Kernel, catalog: Catalog) -> None:
    real = catalog.select_cases(["real-*"])
    missing = lacking(kernel, real)
    cases = [case for case in real if case.name not in missing]
    by_reference = [
        case for case in cases if any(placed.by_reference for placed in case.layout.placements)
    ]
    stacked = [case for case in cases if case.layout.stack_size]
    assert len(cases) >= 10
    assert len(by_reference) >= 3
    assert len(stacked) >= 3
    assert {case.real.effect for case in cases if case.real} == set(Effect)
    assert {case.context.value for case in cases} == {"process", "softirq"}


def test_a_witness_sees_what_the_port_does(
    kernel: Kernel, built: Modules, catalog: Catalog
) -> None:
    result = played(kernel, built, catalog, ["none", "signature"], observer=Witness())
    assert reasons(result.outcomes) == []
    assert {len(outcome.witness or ()) for outcome in result.outcomes} == {0}
    assert all(outcome.witness is not None for outcome in result.outcomes)


def test_what_user_space_notices(kernel: Kernel, built: Modules, catalog: Catalog) -> None:
    """A handler that only reads a va_list garbles the kernel's log; a signature mends it."""
    result = played(kernel, built, catalog, ["none", "fixed-128", "signature"])
    assert result.exit_status is Exit.AGREES
    noticed = {
        (outcome.play.case.name, outcome.play.variant.name): outcome.effect
        for outcome in result.outcomes
    }
    for variant, effect in (("none", Effect.GARBLED), ("signature", Effect.NONE)):
        assert noticed["real-vprintk-emit", variant] is effect
    assert noticed["real-udp-cork", "none"] is Effect.OOPS
    assert {effect for (_, variant), effect in noticed.items() if variant == "signature"} == {
        Effect.NONE
    }


def check_oops(result: Result) -> None:
    """One play oopsed, and those before it and after it in the plan agree."""
    assert reasons(result.outcomes) == []
    names = [outcome.play.case.name for outcome in result.outcomes]
    assert names == sorted(names)
    assert (result.complete, result.kernel_errors) == (True, ())
    (oopsed,) = [outcome for outcome in result.outcomes if outcome.splats]
    assert (oopsed.effect, oopsed.play.variant.name) == (Effect.OOPS, "none")


OOPSING = ["real-open", "real-udp-cork", "real-udp-flags", "stack-9"]


def test_what_oopses_is_the_last_that_its_guest_plays(
    kernel: Kernel, built: Modules, catalog: Catalog
) -> None:
    result = played(kernel, built, catalog, ["none", "signature"], OOPSING)
    check_oops(result)
    assert result.boots == 1


def test_nothing_counts_in_a_guest_that_oopsed_unforeseen(
    kernel: Kernel, built: Modules, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repro, "_oopses", lambda _: False)
    result = played(kernel, built, catalog, ["none", "signature"], OOPSING)
    check_oops(result)
    assert result.boots == 2
    monkeypatch.setattr(repro._Plays, "spent", batch.Trial.spent)
    assert played(kernel, built, catalog, ["none", "signature"], OOPSING).boots == 1


def test_a_kernel_is_not_asked_for_what_it_lacks(catalog: Catalog) -> None:
    plan = plays(catalog.select_variants(["none"]), catalog.select_cases(["real-tcp-*", "stack-8"]))
    result = job.judge(job.Target("debian:6.1"), catalog, plan, repro.run)
    assert [o.play.case.name for o in result.outcomes] == ["real-tcp-listener", "stack-8"]
    assert "the arguments are others" in result.lacking["real-tcp-listener-9"]
    assert (result.planned, result.exit_status) == (2, Exit.AGREES)


# Each is broken in one place, which shows in the cases.
BREAKS = [
    pytest.param(
        REAL, "jp != &probe_playing->jp", "false", ["real-vscnprintf", "real-vprintk-store"],
        id="another case's probe takes the hit",
    ),
    pytest.param(
        REAL, "++driven.calls < probe_playing->real->call", "false", ["real-vprintk-emit"],
        id="the first call counts",
    ),
    pytest.param(
        PORT, "*regs = ctl->regs;", "*regs = ctl->regs;\n\tregs->regs[2] ^= 0x100;",
        ["real-udp-lookup"], id="a register that is not put back",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "cases"), BREAKS)
def test_what_would_show(broken: Broken, file: str, old: str, new: str, cases: list[str]) -> None:
    assert broken(file, old, new, cases=cases, variants=["none"]).exit_status is Exit.DIFFERS


# Of so many plays one after the other, several find the memory of one before.
MANY = 150


def test_memory_of_plays_before_does_not_count(
    kernel: Kernel, built: Modules, catalog: Catalog
) -> None:
    """It is freed at any time after they have ended, and another play may get it at once."""
    cases = catalog.select_cases(["real-vmalloc-*"])
    missing = lacking(kernel, cases)
    (case,) = [case for case in cases if case.name not in missing]
    plan = MANY * plays(catalog.select_variants(["none"]), [case])
    assert reasons(repro.run(kernel, built, plan).outcomes) == []


OTHERS = "while :; do read mtu </sys/class/net/lo/mtu; done >/dev/null 2>&1 &"
# How often the case is played, and how often at most until it is seen to go wrong.
TIMES, MOST = 20, 500


def goes_wrong(kernel: Kernel, built: Modules, catalog: Catalog, times: int) -> bool:
    """Play a case some times while another task calls the same function."""
    (none,) = catalog.select_variants(["none"])
    (case,) = catalog.select_cases(["real-vsnprintf"])
    with booted(kernel, built) as guest:
        guest.run(OTHERS)
        return not all(guest.play(none, case).agrees for _ in range(times))


def test_others_are_not_hit(
    kernel: Kernel, built: Modules, catalog: Catalog, broken_tree: BrokenTree
) -> None:
    assert not goes_wrong(kernel, built, catalog, TIMES)
    root = broken_tree(REAL, "task && (task == current ||", "task && (true ||")
    other = modules.build(kernel, catalog.select_cases(["real-vsnprintf"]), root=root)
    assert goes_wrong(kernel, other, catalog, MOST)


def test_a_program_that_lies(broken: Broken) -> None:
    """It says that all is well although the datagram was lost."""
    said = '"arrived" : "lost"'
    lie = '"arrived" : "arrived"'
    result = broken(DRIVE, said, lie, cases=["real-udp-flags"], variants=["none"])
    assert reasons(result.outcomes) == [("udp found 'arrived', predicted 'lost'",)]
