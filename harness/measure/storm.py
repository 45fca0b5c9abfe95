# SPDX-License-Identifier: GPL-2.0-only
"""Hits one jprobe on all CPUs at once, under one policy after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.errors import ConfigError
from harness.guest.deadlines import DEFAULT_DEADLINES
from harness.guest.splat import Splat, complaints
from harness.kernel.kernel import Bootable, Engine
from harness.model.policy import Variant
from harness.model.storm import Storm, judge
from harness.model.witness import Sighting
from harness.modules.build import Modules
from harness.run import batch
from harness.run.batch import Answer, Share, Trial
from harness.run.boot import Setup
from harness.run.logs import Run
from harness.run.result import Batch
from harness.vm.machine import DEFAULT_CONFIG

# STORM_PERIODS of kernel-modules/probe-targets/storm.c.
PERIODS = 5


@dataclass(frozen=True)
class StormOutcome:
    """What one variant did in a storm, or why nothing is known of it."""

    variant: Variant
    # None if the guest recorded nothing; `reasons` says why.
    storm: Storm | None
    # Sentences that say what is wrong; empty if nothing is.
    reasons: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not self.reasons


@dataclass(frozen=True)
class StormResult(Batch[StormOutcome]):
    """The storms of all variants on one kernel."""

    cpus: int = field(kw_only=True)
    # How long each storm takes, in seconds.
    seconds: float = field(kw_only=True)


class _Storms(Trial[Variant, StormOutcome]):
    """A storm under each variant, each in a boot of its own."""

    items = "storms"
    answer = Storm

    def __init__(self, cpus: int, milliseconds: int) -> None:
        self._cpus = cpus
        self._milliseconds = milliseconds

    def shares(self, items: Sequence[Variant]) -> list[Share[Variant]]:
        return [Share([item], [place]) for place, item in enumerate(items)]

    def line(self, item: Variant) -> str:
        return f"~ {item.policy.rule.value} {item.policy.size} {self._milliseconds}"

    def judge(self, item: Variant, answer: Answer, sighting: Sighting | None) -> StormOutcome:
        assert isinstance(answer, Storm)
        reasons = judge(item.policy, answer, self._cpus, self._milliseconds)
        return StormOutcome(item, answer, reasons)

    def died(self, item: Variant, reason: str) -> StormOutcome:
        return StormOutcome(item, None, (reason,))

    def complained(self, came: StormOutcome, splats: Sequence[Splat]) -> StormOutcome:
        return replace(came, reasons=(*came.reasons, *complaints(splats)))


def run(
    kernel: Bootable,
    modules: Modules,
    variants: Sequence[Variant],
    *,
    cpus: int,
    seconds: float,
) -> StormResult:
    """Boot and run a storm for each variant; raises one of result.ENDED."""
    if kernel.engine is not Engine.PORT:
        raise ConfigError(
            "A kernel's own jprobes count what they miss without a lock, so that a storm's"
            " hits cannot be accounted for.",
            "Give a kernel without jprobes of its own.",
        )

    def make(played: Batch[StormOutcome]) -> StormResult:
        return StormResult(**vars(played), cpus=cpus, seconds=seconds)

    deadlines = replace(DEFAULT_DEADLINES, play=DEFAULT_DEADLINES.play + PERIODS * seconds)
    config = replace(DEFAULT_CONFIG, cpus=cpus)
    setup = Setup(kernel, modules, config, deadlines, Run(kernel, modules))
    return batch.run(setup, _Storms(cpus, round(1000 * seconds)), variants, make)
