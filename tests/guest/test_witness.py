# SPDX-License-Identifier: GPL-2.0-only
"""GDB sees what the guest records, and more where the guest keeps it back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.inspect.witness import Witness
from harness.kernel.kernel import Kernel
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.report import summaries
from harness.run import repro
from harness.run.plan import plays
from tests.guest.conftest import Broken
from tests.guest.test_repro import command
from tests.guest.test_sabotage import DIES, HANGS, with_faults

OBSERVE = "probe-targets/observe.c"
# One case of each context and class.
SOME = [
    "stack-25", "by-ref-forwarded-stack", "va-list-stack", "irq-stack-9", "softirq-by-ref-256",
    "top-stack-9", "deep-by-ref-256", "deep-completion-cpu", "nested-interrupt-stack-9",
    "invalid-fp-stack-9", "rollback-list-interrupt", "overwrite-129", "variadic-mixed",
]  # fmt: skip

# A handler changes a byte, which the function puts back, so that the guest lives on.
LEAVES = """\
void probe_handler_leave(void)
{
	look_at_area(LOOK_AFTER);
}

void probe_target_enter(void)
{
	const struct stack_hit *stack = &probe_playing->jp.stat.stack;

"""
CHANGES = """\
static u8 changed;

void probe_handler_leave(void)
{
	u8 *at = (u8 *)probe_playing->jp.stat.stack.sp + 480;

	look_at_area(LOOK_AFTER);
	changed = *at;
	*at ^= 1;
}

void probe_target_enter(void)
{
	const struct stack_hit *stack = &probe_playing->jp.stat.stack;

	((u8 *)stack->sp)[480] = changed;
"""


def test_the_witness_agrees(tmp_path: Path, kernel: Kernel, catalog: Catalog) -> None:
    cases = [f"--case={name}" for name in SOME]
    done = command(tmp_path, "repro", "--kernel", kernel.spec, "--witness=gdb", *cases, "--json=-")
    document = json.loads(done.stdout)
    assert (done.returncode, document["summary"]["witness"]) == (0, "gdb")
    assert document["summary"]["agree"] == len(catalog.variants) * len(SOME)
    assert all(verdict["witness_agrees"] for verdict in document["verdicts"])
    damage = {word for label in document["summary"]["classes"] for word in label.split("+")}
    assert len(damage) == 7


def test_a_change_that_the_guest_does_not_see(broken: Broken) -> None:
    """A byte far up the caller's stack is changed, in neither an argument nor the object."""
    result = broken(
        OBSERVE,
        LEAVES,
        CHANGES,
        cases=["stack-9"],
        variants=["none", "fixed-64", "thread-size"],
        observer=Witness(),
    )
    assert result.exit_status is Exit.DIFFERS
    none, fixed, everything = result.outcomes
    for outcome in (none, fixed):
        assert outcome.verdict
        assert outcome.verdict.agrees
        assert summaries.cell(outcome) == "witness-disagrees"
        assert "the stack changed at SP + 480 to 480" in outcome.reasons[0]
    assert everything.agrees
    assert "the witness agrees with 1 of 3" in summaries.summary(result)


def test_a_guest_that_lies(broken: Broken) -> None:
    """It records that the function saw what the caller passed, whatever it saw."""
    result = broken(
        OBSERVE,
        "	stack_copy(bytes, at, size);\n",
        "	stack_copy(bytes, at, size);\n	if (when == LOOK_SEEN)\n		bytes[0] |= 0x80;\n",
        cases=["by-ref-24"],
        variants=["thread-size"],
        observer=Witness(),
    )
    (outcome,) = result.outcomes
    assert any("argument 1's copy after it differs from" in text for text in outcome.witness or ())


@pytest.mark.full
def test_a_death_and_a_hang_before_the_witness(broken: Broken) -> None:
    faulty = with_faults(broken, Witness())
    assert "KernelDied: Unable to handle kernel NULL pointer" in faulty[DIES].reasons[0]
    assert "TestHung: " in faulty[HANGS].reasons[0]


def test_a_probe_that_is_never_hit(broken: Broken) -> None:
    """The function is not called: the witness does not wait, and the run is not green."""
    result = broken(
        "probe-targets/plan.c",
        "	probe_call_in(pc->context, pc->call);\n",
        "",
        cases=["stack-9"],
        variants=["none", "fixed-64"],
        observer=Witness(),
    )
    assert len(result.differing) == 2
    assert "never saw the probed function's entry" in result.outcomes[0].reasons[-1]


@dataclass(frozen=True)
class _Mixed(Modules):
    """Modules of one build for the guest, with the file of another one for the witness."""

    loaded: list[Path] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        return self.loaded


def test_another_build_of_the_module(kernel: Kernel, catalog: Catalog) -> None:
    """A witness whose module is not the guest's says so."""
    chosen = catalog.select_cases(["stack-9"])
    built = modules.build(kernel, list(catalog.cases.values()))
    other = modules.build(kernel, chosen)
    mixed = _Mixed(other.folder, built.key, other.proof, loaded=built.files)
    plan = plays(catalog.select_variants(["none"]), chosen)
    result = repro.run(kernel, mixed, plan, observer=Witness())
    assert result.exit_status is Exit.INFRASTRUCTURE
    assert "does not hold probe-targets" in result.harness_errors[0]
