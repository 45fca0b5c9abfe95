# SPDX-License-Identifier: GPL-2.0-only
"""What a nightly run remembers of cells: verdicts, bytes, and pictures of the stack."""

from __future__ import annotations

from collections.abc import Iterator

from harness.guest.splat import Splat, fingerprint
from harness.measure import expected
from harness.measure.stack_map import damaged, parts
from harness.model.observation import Look
from harness.model.policy import Rule
from harness.model.predict import spans
from harness.model.verdict import places
from harness.nightly.unit import Cell, CellState, Complaint, Picture
from harness.run.plan import Outcome


def cell(outcome: Outcome) -> Cell:
    """Return what is stored of a cell."""
    verdict = outcome.verdict
    damage: dict[str, list[list[int]]] = {}
    looks: dict[str, dict[str, str]] = {}
    if verdict:
        damage = {
            expected.argument_name(index): spans(offsets)
            for index, offsets in sorted(verdict.corrupt.items())
            if offsets
        }
        if verdict.lost:
            damage[expected.OBJECT] = spans(verdict.lost)
        looks = dict(_looks(outcome))
    return Cell(
        variant=outcome.play.variant.name,
        case=outcome.play.case.name,
        state=_state(outcome),
        classes={damage.value: size for damage, size in outcome.damage.items()},
        agrees=outcome.agrees,
        reasons=list(outcome.reasons),
        damage=damage,
        looks=looks,
        picture=_picture(outcome),
    )


def _state(outcome: Outcome) -> CellState:
    if outcome.judged is None:
        return CellState.UNJUDGED
    return CellState.DISPUTED if outcome.witness else CellState.JUDGED


def _looks(outcome: Outcome) -> Iterator[tuple[str, dict[str, str]]]:
    assert outcome.verdict
    observation = outcome.verdict.observation
    looks: dict[str, Look | None] = {
        expected.AREA: observation.area,
        expected.OBJECT: observation.object,
    }
    for index, placement in enumerate(outcome.play.case.layout.placements):
        if placement.by_reference:
            looks[expected.argument_name(index)] = observation.arguments.get(index)
    predicted = expected.arrives(outcome.verdict)
    for name, look in looks.items():
        moments = {"before": look.before, "after": look.after, "seen": look.seen} if look else {}
        moments["predicted"] = predicted.get(name)
        if found := {moment: data.hex() for moment, data in moments.items() if data}:
            yield name, found


def _picture(outcome: Outcome) -> Picture | None:
    verdict, case = outcome.judged, outcome.play.case
    if verdict is None:
        return None
    hit, found = verdict.observation.hit, places(case, verdict.observation)
    # Which bytes the guest saved, it does not say.
    spans = [(start - hit.sp, end - hit.sp) for start, end in verdict.prediction.saved]
    known = verdict.observation.saved == verdict.prediction.window
    apart = outcome.play.variant.expected.rule is Rule.SIGNATURE and known
    return Picture(
        parts=[(part.start, part.end, part.label) for part in parts(case, hit, found)],
        saved=verdict.observation.saved,
        spans=spans if apart else None,
        corrupt=list(damaged(case, hit, found, verdict.corrupt, verdict.lost)),
    )


def complaint(splat: Splat, outcome: Outcome) -> Complaint:
    """Return what is stored of a complaint that came during a play."""
    return Complaint(
        kind=splat.kind.value,
        title=splat.title,
        fingerprint=fingerprint(splat),
        text="\n".join(splat.lines),
        variant=outcome.play.variant.name,
        case=outcome.play.case.name,
    )
