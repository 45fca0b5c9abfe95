# SPDX-License-Identifier: GPL-2.0-only
"""Hits one jprobe on all CPUs at once, under one policy after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.errors import ConfigError, Exit, InfrastructureError, KernelFault, is_foreseen
from harness.guest.records import Introduction, Refusal
from harness.guest.splat import Splat, complaints
from harness.kernel.kernel import Bootable, Engine
from harness.model.policy import Variant
from harness.model.storm import Storm, judge
from harness.modules.build import Modules
from harness.run.boot import Setup, start
from harness.run.logs import Run
from harness.run.plan import ended
from harness.run.session import DEFAULT_DEADLINES
from harness.run.tries import Tries
from harness.vm.machine import DEFAULT_CONFIG


@dataclass(frozen=True)
class StormOutcome:
    """What one variant did in a storm, or why nothing is known of it."""

    variant: Variant
    # None if the guest recorded nothing; `reasons` says why.
    storm: Storm | None
    # Sentences that say what is wrong; empty if nothing is.
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class StormResult:
    """The storms of all variants on one kernel."""

    release: str
    compiler: str
    cpus: int
    # How long each storm takes, in seconds.
    seconds: float
    planned: int
    outcomes: tuple[StormOutcome, ...]
    # Why storms were not reached through no fault of the kernel's.
    harness_errors: tuple[str, ...]
    # Folder with the console logs.
    logs: str
    # Sentences about logs that could not be written.
    unwritten: tuple[str, ...] = ()
    # Failures of our own tools after which a storm was played again.
    retried: tuple[str, ...] = ()

    @property
    def exit_status(self) -> Exit:
        if any(outcome.reasons for outcome in self.outcomes):
            return Exit.DIFFERS
        whole = len(self.outcomes) == self.planned and not self.unwritten
        return Exit.AGREES if whole else Exit.INFRASTRUCTURE


def run(
    kernel: Bootable,
    modules: Modules,
    variants: Sequence[Variant],
    *,
    cpus: int,
    seconds: float,
    on_outcome: Callable[[StormOutcome], None] = lambda outcome: None,
) -> StormResult:
    """
    Boot and run a storm for each variant; only failures of our own tools are retried.

    Raises one of plan.ENDED with the result so far.
    """
    if kernel.engine is not Engine.PORT:
        raise ConfigError(
            "A kernel's own jprobes count what they miss without a lock, so that a storm's"
            " hits cannot be accounted for.",
            "Give a kernel without jprobes of its own.",
        )
    deadlines = replace(DEFAULT_DEADLINES, play=DEFAULT_DEADLINES.play + seconds)
    config = replace(DEFAULT_CONFIG, cpus=cpus)
    setup = Setup(kernel, modules, config, deadlines, Run(kernel, modules))
    outcomes: list[StormOutcome] = []
    tries = Tries()
    stopped: BaseException | None = None
    while len(outcomes) < len(variants):
        try:
            outcome = _storm(setup, variants[len(outcomes)], seconds)
        except InfrastructureError as error:
            if not tries.again(error):
                break
            continue
        except (KeyboardInterrupt, Exception) as error:
            if is_foreseen(error):
                raise
            stopped = error
            break
        outcomes.append(outcome)
        on_outcome(outcome)
    result = StormResult(
        release=kernel.release,
        compiler=modules.compiler,
        cpus=cpus,
        seconds=seconds,
        planned=len(variants),
        outcomes=tuple(outcomes),
        harness_errors=tuple(tries.errors),
        retried=tuple(tries.retried),
        unwritten=tuple(setup.logs.unwritten),
        logs=str(setup.logs),
    )
    agree = sum(not outcome.reasons for outcome in outcomes)
    setup.logs.finish(planned=result.planned, agree=agree, status=result.exit_status)
    if stopped:
        raise ended(stopped, result, len(outcomes), result.planned, "storms") from stopped
    return result


def _storm(setup: Setup, variant: Variant, seconds: float) -> StormOutcome:
    milliseconds = round(1000 * seconds)
    line = f"~ {variant.policy.rule.value} {variant.policy.size} {milliseconds}"
    storm: Storm | None = None
    reasons: tuple[str, ...] = ()
    splats: list[Splat] = []
    try:
        with start(setup, [line]) as session:
            try:
                for record in session.records(1):
                    if isinstance(record, Storm) and record.line == line:
                        storm = record
                        reasons += judge(variant.policy, storm, setup.config.cpus, milliseconds)
                    elif isinstance(record, Refusal):
                        reasons += (f"The guest did not play it: {record}",)
                    elif not isinstance(record, Introduction):
                        raise session.protocol_fault("The guest sent another record.")
            finally:
                session.hear_out()
                splats = session.console.watcher.splats
    except InfrastructureError as error:
        if not splats:
            raise
        reasons += (error.sentence,)
    except KernelFault as fault:
        reasons += (f"{type(fault).__name__}: {fault.sentence}",)
    return StormOutcome(variant, storm, (*reasons, *complaints(splats)))
