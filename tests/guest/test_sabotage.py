# SPDX-License-Identifier: GPL-2.0-only
"""Positive controls: something is broken on purpose, and the run turns red."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import BuildError, Exit
from harness.guest.deadlines import Deadlines
from harness.kernel.kernel import Kernel
from harness.model import verdict as verdicts
from harness.model.case import Case
from harness.model.policy import Hit, Policy
from harness.model.predict import MeasuredFrame, Prediction, predict
from harness.modules import build as modules
from harness.modules import casegen, storeproof
from harness.run import repro
from harness.run.observer import Observer
from harness.run.plan import Outcome, plays
from tests.guest.conftest import Broken, Stores, names

POLICY = "stack-policy/stack_policy.h"
PORT = "jprobe-port/jprobe_port.c"
OBSERVE = "probe-targets/observe.c"


@pytest.mark.parametrize(
    ("wrong", "case"), [("size - 1", "overwrite-128"), ("size + 1", "overwrite-129")]
)
def test_a_policy_that_is_one_byte_off(broken: Broken, wrong: str, case: str) -> None:
    result = broken(
        POLICY,
        "return min(size, depth);",
        f"return min({wrong}, depth);",
        cases=[case],
        variants=["fixed-128"],
    )
    assert result.exit_status is Exit.DIFFERS
    (outcome,) = result.outcomes
    assert any("is corrupt in" in reason for reason in outcome.reasons)


def test_the_overflow_fix_left_out(broken: Broken) -> None:
    result = broken(
        POLICY,
        "case STACK_POLICY_FIXED:\n\t\treturn min(size, depth);",
        "case STACK_POLICY_FIXED:\n\t\treturn depth;",
        cases=["irq-read-only"],
        variants=["fixed-128"],
    )
    assert any("bytes past its buffer, predicted 0" in r for r in result.outcomes[0].reasons)


def test_a_window_that_is_not_clipped_at_the_stacks_top(broken: Broken) -> None:
    """The page above a stack is not mapped, so one byte too many kills the kernel."""
    result = broken(
        POLICY,
        "return min(size, depth);",
        "return size;",
        cases=["top-stack-9", "stack-9"],
        variants=["fixed-64"],
    )
    assert names(result.differing) == {"top-stack-9"}
    assert "KernelDied: Unable to handle kernel paging request" in result.differing[0].reasons[0]


def test_a_nested_hit_that_is_not_missed(broken: Broken) -> None:
    result = broken(
        PORT,
        "if (ctl->phase != JPROBE_IDLE ||",
        "if (ctl->phase == JPROBE_PASSING ||",
        cases=["nested-interrupt", "stack-9"],
        variants=["none"],
    )
    assert "nested-interrupt" in names(result.differing)


def test_a_write_that_nobody_makes(broken: Broken) -> None:
    result = broken(
        OBSERVE,
        "		list_add(&object_node, at);\n",
        "",
        cases=["rollback-list-cpu", "rollback-counter-cpu"],
        variants=["none"],
    )
    assert names(result.differing) == {"rollback-list-cpu"}
    assert "the caller's object held" in result.differing[0].reasons[0]


def test_a_context_that_is_another(broken: Broken) -> None:
    result = broken(
        "probe-targets/contexts.c",
        "		call_deep(DEEP_SIZE);\n",
        "		call();\n",
        cases=["deep-stack-25", "stack-9"],
        variants=["none"],
    )
    assert names(result.differing) == {"deep-stack-25"}
    assert "the probe was hit in process context" in result.differing[0].reasons[0]


def test_a_call_that_the_kernel_refuses(broken: Broken) -> None:
    """The play has the error, the kernel does not warn, and the rest is played."""
    result = broken(
        "probe-targets/agents.c",
        "smp_call_function_single_async(cpu, &csd);",
        "-EBUSY;",
        cases=["rollback-list-cpu", "stack-9"],
        variants=["none"],
    )
    assert names(result.differing) == {"rollback-list-cpu"}
    (outcome,) = result.differing
    (reason,) = outcome.reasons
    assert f"the case could not be played {-errno.EBUSY}" in reason
    assert result.boots == 1


def test_a_restore_that_is_left_out(broken: Broken) -> None:
    result = broken(
        PORT,
        "stack_policy_restore(ctl->save, ctl->saved, &ctl->jp->policy,\n"
        "\t\t\t     ctl->jp->signature, &ctl->regs);",
        "",
        cases=["stack-9", "stack-8"],
        variants=["thread-size"],
    )
    assert names(result.differing) == {"stack-9"}


def test_registers_that_are_not_restored(broken: Broken) -> None:
    result = broken(
        PORT,
        "*regs = ctl->regs;",
        "ctl->regs.regs[3]++, *regs = ctl->regs;",
        cases=["stack-8"],
        variants=["none"],
    )
    assert "argument 3 (long) is corrupt in byte 0" in result.outcomes[0].reasons[0]


def test_a_probe_that_is_hit_twice_has_no_verdict(broken: Broken) -> None:
    result = broken(
        "probe-targets/plan.c",
        "	probe_call_in(pc->context, pc->call);\n",
        "	pc->call();\n	probe_call_in(pc->context, pc->call);\n",
        cases=["stack-9"],
        variants=["none", "fixed-64"],
    )
    assert len(result.differing) == 2
    assert "not played as planned: hits counted 2, planned 1" in result.outcomes[0].reasons


def test_a_probe_that_is_never_hit_has_no_verdict(broken: Broken) -> None:
    result = broken(
        PORT,
        "return register_kprobe(&jp->kp);",
        "return 0;",
        cases=["stack-9"],
        variants=["none"],
    )
    assert "not played as planned: hits counted 0, planned 1" in result.outcomes[0].reasons


def _without_first_store(case: Case) -> list[str]:
    return casegen_stores(case)[1:]


casegen_stores = casegen.handler_stores


def test_a_removed_store_is_found_in_the_disassembly(
    kernel: Kernel, catalog: Catalog, other_stores: Callable[[Stores], None]
) -> None:
    other_stores(_without_first_store)
    with pytest.raises(BuildError, match="case 'overwrite-64': its handler has 0 stores"):
        modules.build(kernel, catalog.select_cases(["overwrite-64"]))


def test_a_removed_store_turns_the_run_red_too(
    kernel: Kernel,
    catalog: Catalog,
    other_stores: Callable[[Stores], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def no_proof(cases: Sequence[Case], file: Path) -> Path:
        """Return a proof of no case, which does not come into the cache."""
        (tmp_path / storeproof.PRIVATE_COPIES).write_text("{}")
        return tmp_path

    other_stores(_without_first_store)
    monkeypatch.setattr(storeproof, "proof", no_proof)
    chosen = catalog.select_cases(["stack-40-last"])
    built = modules.build(kernel, chosen)
    result = repro.run(kernel, built, plays(catalog.select_variants(["none"]), chosen))
    reasons = result.outcomes[0].reasons
    assert any("the handler wrote no byte of the argument area" in text for text in reasons)
    assert any("argument 39 (long) is corrupt in no byte" in text for text in reasons)


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_prediction_that_is_one_byte_off(
    kernel: Kernel, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, shift: int
) -> None:
    def shifted(case: Case, policy: Policy, hit: Hit, places: MeasuredFrame) -> Prediction:
        moved = dataclasses.replace(policy, size=policy.size + shift)
        return predict(case, moved, hit, places)

    monkeypatch.setattr(verdicts, "predict", shifted)
    built = modules.build(kernel, list(catalog.cases.values()))
    plan = plays(
        catalog.select_variants(["fixed-64"]), catalog.select_cases(["overwrite-6*", "stack-8"])
    )
    result = repro.run(kernel, built, plan)
    changed = {"overwrite-64", "overwrite-65", "overwrite-63"}
    assert names(result.differing) <= changed | {"stack-8"}
    assert any("is corrupt in" in reason for o in result.differing for reason in o.reasons)


# A case during which the kernel dies, one that hangs, one with a warning, and others around them.
DIES, HANGS, WARNS = "stack-10", "stack-12", "stack-16"
FAULTS = f"""\
	if (!strcmp(probe_playing->name, "{DIES}"))
		WRITE_ONCE(*(int *)NULL, 1);
	while (!strcmp(probe_playing->name, "{HANGS}"))
		cpu_relax();
	WARN_ON_ONCE(!strcmp(probe_playing->name, "{WARNS}"));
	play.handler_runs++;
"""


def with_faults(broken: Broken, observer: Observer | None = None) -> dict[str, Outcome]:
    """Play the cases in one run, in three boots; return the outcomes by case."""
    result = broken(
        OBSERVE,
        "	play.handler_runs++;\n",
        FAULTS,
        cases=["stack-8", DIES, HANGS, WARNS, "stack-9"],
        variants=["none"],
        deadlines=Deadlines(play=3 if observer is None else 5, ping=60, end=10),
        observer=observer,
    )
    assert result.exit_status is Exit.DIFFERS
    assert (result.boots, result.complete) == (3, True)
    assert names(result.differing) == {DIES, HANGS, WARNS}
    return {outcome.play.case.name: outcome for outcome in result.outcomes}


@pytest.fixture(scope="module")
def faulty(broken: Broken) -> dict[str, Outcome]:
    return with_faults(broken)


def test_a_death_is_pinned_and_the_rest_is_played(faulty: dict[str, Outcome]) -> None:
    assert faulty[DIES].verdict is None
    assert "KernelDied: Unable to handle kernel NULL pointer" in faulty[DIES].reasons[0]


def test_a_hung_play_is_no_hung_kernel(faulty: dict[str, Outcome]) -> None:
    assert faulty[HANGS].verdict is None
    assert "TestHung: " in faulty[HANGS].reasons[0]


def test_a_warning_is_never_green(faulty: dict[str, Outcome]) -> None:
    reasons = faulty[WARNS].reasons
    assert any(reason.startswith("WARNING: ") for reason in reasons)
    assert any("gained taint 0x200" in reason for reason in reasons)
