# SPDX-License-Identifier: GPL-2.0-only
"""Measures what a hit costs under each policy, on a machine that counts instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from harness.errors import Exit, InfrastructureError, KernelFault, is_foreseen
from harness.guest.records import Introduction, Record, Refusal
from harness.guest.splat import Splat, complaints
from harness.kernel.kernel import Bootable
from harness.model.cost import CostRecord, judge
from harness.model.policy import Variant, save
from harness.modules.build import Modules
from harness.run.boot import Setup, start
from harness.run.logs import Run
from harness.run.plan import ended
from harness.run.session import DEFAULT_DEADLINES
from harness.run.tries import Tries
from harness.vm.machine import DEFAULT_CONFIG

# Enough to resolve a fraction of an instruction: on QEMU's virt machine, a tick is 16 of them.
CALLS = 1000


@dataclass(frozen=True)
class CostOutcome:
    """The cost of a hit under one variant, or why it could not be measured."""

    variant: Variant
    # None if the guest recorded nothing; `reasons` says why.
    cost: CostRecord | None
    # Sentences that say what is wrong; empty if nothing is.
    reasons: tuple[str, ...]

    @property
    def instructions(self) -> float | None:
        """How many instructions a hit costs; None if the measurement is not valid."""
        return self.cost.per_hit if self.cost and not self.reasons else None

    @property
    def saved(self) -> int:
        """How many bytes were copied at the hit, and put back."""
        found = save(self.variant.policy, self.cost.hit) if self.cost else None
        return found.window if found else 0


@dataclass(frozen=True)
class CostResult:
    """The costs of all variants on one kernel."""

    release: str
    compiler: str
    planned: int
    outcomes: tuple[CostOutcome, ...]
    # Why the rest was not measured, be it the kernel's fault or ours.
    kernel_errors: tuple[str, ...]
    harness_errors: tuple[str, ...]
    # Failures of our own tools after which it was measured again.
    retried: tuple[str, ...]
    # Folder with the console logs.
    logs: str

    @property
    def exit_status(self) -> Exit:
        if self.kernel_errors or any(outcome.reasons for outcome in self.outcomes):
            return Exit.DIFFERS
        whole = len(self.outcomes) == self.planned and not self.harness_errors
        return Exit.AGREES if whole else Exit.INFRASTRUCTURE


def run(kernel: Bootable, modules: Modules, variants: Sequence[Variant]) -> CostResult:
    """
    Measure all variants in one boot; only failures of our own tools are retried.

    Raises one of plan.ENDED with the result so far.
    """
    config = replace(DEFAULT_CONFIG, cpus=1, icount=True)
    setup = Setup(kernel, modules, config, DEFAULT_DEADLINES, Run(kernel, modules))
    outcomes: list[CostOutcome] = []
    kernel_errors: tuple[str, ...] = ()
    tries = Tries()
    stopped: BaseException | None = None
    while len(outcomes) < len(variants) and not kernel_errors:
        try:
            kernel_errors = _measure(setup, variants[len(outcomes) :], outcomes)
        except InfrastructureError as error:
            if not tries.again(error):
                break
        except (KeyboardInterrupt, Exception) as error:
            if is_foreseen(error):
                raise
            stopped = error
            break
    result = CostResult(
        release=kernel.release,
        compiler=modules.compiler,
        planned=len(variants),
        outcomes=tuple(outcomes),
        kernel_errors=kernel_errors,
        harness_errors=(*tries.errors, *setup.logs.unwritten),
        retried=tuple(tries.retried),
        logs=str(setup.logs),
    )
    agree = sum(not outcome.reasons for outcome in outcomes)
    setup.logs.finish(planned=result.planned, agree=agree, status=result.exit_status)
    if stopped:
        raise ended(stopped, result, len(outcomes), result.planned, "costs") from stopped
    return result


def _measure(
    setup: Setup, variants: Sequence[Variant], outcomes: list[CostOutcome]
) -> tuple[str, ...]:
    """Add the outcome of each, and note what the kernel complains of."""
    lines = [f"$ {v.policy.rule.value} {v.policy.size} {CALLS}" for v in variants]
    fault: tuple[str, ...] = ()
    splats: list[Splat] = []
    try:
        with start(setup, lines) as session:
            plays = iter(zip(variants, lines))
            try:
                for record in session.records(len(lines)):
                    if isinstance(record, Introduction):
                        continue
                    variant, line = next(plays, (None, ""))
                    if not variant or not _answers(record, line):
                        raise session.protocol_fault("The guest sent another record.")
                    outcomes.append(_outcome(variant, record))
            finally:
                session.hear_out()
                splats = session.console.watcher.splats
    except InfrastructureError as error:
        if not splats:
            raise
        fault = (error.sentence,)
    except KernelFault as error:
        fault = (f"{type(error).__name__}: {error.sentence}",)
    return (*fault, *complaints(splats))


def _answers(record: Record, line: str) -> TypeGuard[CostRecord | Refusal]:
    return isinstance(record, CostRecord | Refusal) and record.line == line


def _outcome(variant: Variant, record: CostRecord | Refusal) -> CostOutcome:
    if isinstance(record, Refusal):
        return CostOutcome(variant, None, (f"The guest did not play it: {record}",))
    if not record.counts_instructions:
        raise InfrastructureError(
            f"{record.instructions} instructions took {record.ticks} ticks of"
            f" {record.frequency} Hz: the guest's counter does not count them.",
            "QEMU must run with -icount.",
        )
    return CostOutcome(variant, record, judge(variant.policy, record, CALLS))
