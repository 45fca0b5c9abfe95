# SPDX-License-Identifier: GPL-2.0-only
"""Plans of plays, and their results."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import Exit, OwnFault, Stopped
from harness.guest.splat import Splat
from harness.model.assembled import FrameImage
from harness.model.case import Case
from harness.model.policy import Variant
from harness.model.predict import Damage
from harness.model.verdict import Verdict
from harness.run.logs import see


@dataclass(frozen=True)
class Play:
    """One cell: a case under a variant."""

    variant: Variant
    case: Case
    # The case as data, or None if it was compiled into the guest's module.
    image: FrameImage | None = None

    @property
    def line(self) -> str:
        """Return the play as kernel-modules/probe-targets reads it."""
        policy = self.variant.policy
        words = f"{policy.rule.value} {policy.size}"
        return f"= {words} {self.image.data}" if self.image else f"{self.case.name} {words}"

    def __str__(self) -> str:
        return f"{self.variant.name} x {self.case.name}"


def plays(variants: Sequence[Variant], cases: Sequence[Case]) -> list[Play]:
    """Return a play for each case and variant, case by case."""
    return [Play(variant, case) for case in cases for variant in variants]


@dataclass(frozen=True)
class Outcome:
    """The verdict on a play, or why there is none."""

    play: Play
    # None: the case has no verdict, and `errors` says why.
    verdict: Verdict | None
    # The kernel's complaints and what else kept the play from being as planned.
    errors: tuple[str, ...] = ()
    splats: tuple[Splat, ...] = ()
    # Where a witness saw something else than the guest recorded; None if there was no witness.
    witness: tuple[str, ...] | None = None

    @property
    def agrees(self) -> bool:
        return bool(self.verdict and self.verdict.agrees) and not (self.errors or self.witness)

    @property
    def judged(self) -> Verdict | None:
        """The verdict, of a play that was as planned."""
        return self.verdict if self.verdict and self.verdict.judged else None

    @functools.cached_property
    def damage(self) -> dict[Damage, int]:
        """Observed bytes of damage by class; 0 for a handler that did not run."""
        verdict = self.judged
        if verdict is None:
            return {}
        observation, placements = verdict.observation, self.play.case.layout.placements
        sizes = Counter[Damage]()
        for index, offsets in verdict.corrupt.items():
            by_reference = placements[index].by_reference
            sizes[Damage.BY_REF if by_reference else Damage.LEAK] += len(offsets)
        sizes[Damage.ROLLBACK] += len(verdict.lost)
        sizes[Damage.OVERFLOW] += observation.overflow or 0
        found = {damage for damage in Damage if sizes[damage]}
        if observation.overflow is None:
            # What an engine does not report can only be taken from the prediction.
            found |= verdict.prediction.damage & {Damage.OVERFLOW}
        if observation.counts.skipped:
            found.add(Damage.SKIPPED)
        if observation.nested and observation.nested.counts.missed:
            found.add(Damage.MISSED)
        return {damage: sizes[damage] for damage in Damage if damage in found}

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences that say why it does not agree; empty if it does."""
        mismatches = self.verdict.mismatches if self.verdict else ()
        witness = (f"the witness disagrees: {text}" for text in self.witness or ())
        return (*self.errors, *mismatches, *witness)


@dataclass(frozen=True)
class Result:
    """The result of a run on one kernel."""

    # The spec as the user gave it, and uname -r.
    spec: str
    release: str
    # The engine that implements jprobes: "port" or "native".
    engine: str
    compiler: str
    # In the plan's order; plays that were never reached are missing.
    outcomes: tuple[Outcome, ...]
    planned: int
    # The kernel's faults and complaints that belong to no single play.
    kernel_errors: tuple[str, ...] = ()
    # What went wrong through no fault of the kernel's.
    harness_errors: tuple[str, ...] = ()
    # Failures of our own tools after which the rest was played again.
    retried: tuple[str, ...] = ()
    boots: int = 1
    # Whether a fault of this program's own ended the run.
    broken: bool = False
    # Whether a debugger watched the plays.
    witness: bool = False
    # A description of what the tree's own jprobes do; empty for the port.
    jprobes: str = ""
    # Variables that make was given.
    make: tuple[str, ...] = ()
    # Folder with the console logs.
    logs: str = ""

    @property
    def complete(self) -> bool:
        return len(self.outcomes) == self.planned

    @property
    def differing(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.agrees]

    @property
    def errors(self) -> tuple[str, ...]:
        return self.kernel_errors + self.harness_errors

    @property
    def exit_status(self) -> Exit:
        if self.kernel_errors and not self.outcomes:
            # It never came so far that anything could be judged.
            return Exit.UNJUDGED
        if self.differing or self.kernel_errors:
            return Exit.DIFFERS
        if self.broken:
            return Exit.OWN_FAULT
        return Exit.AGREES if self.complete and not self.harness_errors else Exit.INFRASTRUCTURE


def merged(results: Sequence[Result], plan: Sequence[Play]) -> Result:
    """Merge the runs of one kernel's images, with the outcomes in the plan's order."""
    first = results[0]
    if len(results) == 1:
        return replace(first, planned=len(plan))
    order = {(play.variant.name, play.case.name): index for index, play in enumerate(plan)}
    outcomes = [outcome for result in results for outcome in result.outcomes]
    outcomes.sort(key=lambda o: order[o.play.variant.name, o.play.case.name])
    return replace(
        first,
        outcomes=tuple(outcomes),
        planned=len(plan),
        kernel_errors=tuple(text for result in results for text in result.kernel_errors),
        harness_errors=tuple(text for result in results for text in result.harness_errors),
        retried=tuple(text for result in results for text in result.retried),
        boots=sum(result.boots for result in results),
        broken=any(result.broken for result in results),
        logs=", ".join(result.logs for result in results),
    )


@dataclass(frozen=True)
class Unjudged:
    """A kernel without a run, because it or modules for it could not be fetched or built."""

    spec: str
    sentence: str
    hint: str
    exit_status: Exit


@dataclass(frozen=True)
class Comparison:
    """The results of runs on several kernels."""

    results: tuple[Result, ...]
    unjudged: tuple[Unjudged, ...] = ()
    # The exception that ended the last run and so the comparison.
    ended: Stopped | OwnFault | None = None

    @property
    def exit_status(self) -> Exit:
        statuses = [result.exit_status for result in self.results]
        statuses += [unjudged.exit_status for unjudged in self.unjudged]
        for worst in (
            Exit.DIFFERS,
            Exit.OWN_FAULT,
            Exit.INFRASTRUCTURE,
            Exit.USAGE,
            Exit.UNJUDGED,
        ):
            if worst in statuses:
                return worst
        return Exit.AGREES


# Entries of `harness_errors` in a result that is not complete.
INTERRUPTED = "Interrupted."
BROKEN = "A fault of the program's own ended the run."


class Interrupted(Stopped):
    """The user ended a run; `result` is its result so far."""

    def __init__(self, result: Any, judged: int, planned: int, what: str) -> None:
        super().__init__(
            f"{judged} of {planned} {what} were judged, and the logs of them are kept.",
            f"{see(result.logs)}.  The same command starts again from the beginning.",
            result.exit_status,
        )
        self.result = result


class Broken(OwnFault):
    """A fault of this program's own, `__cause__`, ended a run; `result` is its result so far."""

    def __init__(self, result: Any, judged: int, planned: int, what: str) -> None:
        super().__init__(f"{judged} of {planned} {what} were judged.", f"{see(result.logs)}.")
        self.result = result
        if result.exit_status is Exit.DIFFERS:
            # The verdicts before the fault are valid.
            self.exit_status = Exit.DIFFERS


# A run raises one of these, with its result so far, in place of what ended it.
ENDED = (Interrupted, Broken)


def ended(
    by: BaseException, result: Any, judged: int, planned: int, what: str
) -> Interrupted | Broken:
    """Return one of ENDED, to be raised from `by`."""
    kind = Interrupted if isinstance(by, KeyboardInterrupt) else Broken
    return kind(result, judged, planned, what)


def ended_run(by: BaseException, result: Result) -> Interrupted | Broken:
    """Call ended() for a run of plays."""
    return ended(by, result, len(result.outcomes), result.planned, f"plays on {result.spec}")
