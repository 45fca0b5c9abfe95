# SPDX-License-Identifier: GPL-2.0-only
"""Plans of plays, and what comes of each."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.guest.splat import Splat, SplatKind, complaints
from harness.model.assembled import FrameImage
from harness.model.case import Case, Effect
from harness.model.driven import noticed
from harness.model.policy import Variant
from harness.model.predict import Damage
from harness.model.verdict import Verdict


@dataclass(frozen=True)
class Play:
    """One cell: a case under a variant."""

    variant: Variant
    case: Case
    # The case as data, or None if it was compiled into the guest's module.
    image: FrameImage | None = None

    @functools.cached_property
    def line(self) -> str:
        """Return the play as kernel-modules/probe-targets reads it."""
        policy = self.variant.policy
        words = f"{policy.rule.value} {policy.size}"
        return f"= {words} {self.image.data}" if self.image else f"{self.case.name} {words}"

    def __str__(self) -> str:
        return f"{self.variant.name} x {self.case.name}"


class Drawn(Sequence[Play]):
    """Plays that are made when they are needed, none of which is on the kernel's own functions."""


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
    def effect(self) -> Effect:
        """What user space was to notice."""
        judged = self.judged
        return noticed(self.play.case, judged.prediction) if judged else Effect.NONE

    def complained(self, splats: Sequence[Splat]) -> Outcome:
        """Return the outcome with what the kernel complained of during the play."""
        heard = replace(self, splats=(*self.splats, *splats))
        new = heard.unforeseen[len(self.unforeseen) :]
        return replace(heard, errors=(*self.errors, *complaints(new)))

    @property
    def unforeseen(self) -> tuple[Splat, ...]:
        """The kernel's complaints, without an oops that was predicted."""
        if self.effect is not Effect.OOPS:
            return self.splats
        return tuple(splat for splat in self.splats if splat.kind is not SplatKind.OOPS)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences that say why it does not agree; empty if it does."""
        mismatches = self.verdict.mismatches if self.verdict else ()
        witness = (f"the witness disagrees: {text}" for text in self.witness or ())
        return (*self.errors, *mismatches, *witness)
