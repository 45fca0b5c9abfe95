# SPDX-License-Identifier: GPL-2.0-only
"""Measures what a hit costs under each policy, on a machine that counts instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.errors import InfrastructureError
from harness.guest.deadlines import DEFAULT_DEADLINES
from harness.guest.splat import Splat, complaints
from harness.kernel.kernel import Bootable
from harness.model.cost import CostRecord, judge, saved
from harness.model.policy import Variant
from harness.model.witness import Sighting
from harness.modules.build import Modules
from harness.run import batch
from harness.run.batch import Answer, Trial
from harness.run.boot import Setup
from harness.run.logs import Run
from harness.run.result import Batch
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
    def agrees(self) -> bool:
        return not self.reasons

    @property
    def instructions(self) -> float | None:
        """How many instructions a hit costs; None if the measurement is not valid."""
        return self.cost.per_hit if self.cost and not self.reasons else None

    @property
    def saved(self) -> int:
        """How many bytes were copied at the hit, and put back."""
        found = saved(self.variant.policy, self.cost.hit) if self.cost else None
        return found.size if found else 0


# The costs of all variants on one kernel.
CostResult = Batch[CostOutcome]


class _Costs(Trial[Variant, CostOutcome]):
    """The cost of a hit under each variant."""

    items = "costs"
    answer = CostRecord

    def line(self, item: Variant) -> str:
        return f"$ {item.policy.rule.value} {item.policy.size} {CALLS}"

    def judge(self, item: Variant, answer: Answer, sighting: Sighting | None) -> CostOutcome:
        assert isinstance(answer, CostRecord)
        if not answer.counts_instructions:
            raise InfrastructureError(
                f"{answer.instructions} instructions took {answer.ticks} ticks of"
                f" {answer.frequency} Hz: the guest's counter does not count them.",
                "QEMU must run with -icount.",
            )
        return CostOutcome(item, answer, judge(item.policy, answer, CALLS))

    def died(self, item: Variant, reason: str) -> CostOutcome:
        return CostOutcome(item, None, (reason,))

    def complained(self, came: CostOutcome, splats: Sequence[Splat]) -> CostOutcome:
        return replace(came, reasons=(*came.reasons, *complaints(splats)))


def run(kernel: Bootable, modules: Modules, variants: Sequence[Variant]) -> CostResult:
    """Measure all variants in one boot; raises one of result.ENDED."""
    config = replace(DEFAULT_CONFIG, cpus=1, icount=True)
    setup = Setup(kernel, modules, config, DEFAULT_DEADLINES, Run(kernel, modules))
    return batch.run(setup, _Costs(), variants, lambda measured: measured)
