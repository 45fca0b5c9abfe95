# SPDX-License-Identifier: GPL-2.0-only
"""Claims held against results: what is said of each; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.answers.cells import distinct
from harness.answers.claim import NO_RESULT, Claim, OutcomeFile, State
from harness.answers.evidence import Evidence, Run
from harness.answers.found import Known, Measured
from harness.answers.measure import measured


@dataclass(frozen=True)
class Answer:
    """What results say of a claim."""

    claim: Claim
    # "holds", "does not hold", "holds only ..." or "no result".
    verdict: str
    # A few words, and a sentence or two.
    answer: str
    says: str
    measures: tuple[Measured, ...]
    # The names of the measures that decided.
    decided: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is a result."""
        return self.verdict != NO_RESULT

    @property
    def numbers(self) -> str:
        """What was measured, in short; or why there is no result."""
        if not self.known:
            return self.lacks
        shown = self.claim.file.short or self.decided
        found = {one.name: one.text for one in self.measures}
        return "; ".join(found[name] for name in shown if found[name])

    @property
    def lacks(self) -> str:
        """Why there is no result, where there could be one."""
        return "; ".join(dict.fromkeys(one.why for one in self.measures if one.why))

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs that its measures took into account, each kernel and compiler once."""
        found = {run.column: run for one in self.measures if one.text for run in one.runs}
        return tuple(found.values())

    @property
    def differ(self) -> int:
        """How many of the cells that were counted are not as predicted."""
        return max((one.differ for one in self.measures), default=0)

    @property
    def further(self) -> tuple[str, ...]:
        """The commands that bring results which are missing, beside the claim's own."""
        own = self.claim.file.command
        missing = (one.command for one in self.measures if one.state is State.MISSING)
        return tuple(dict.fromkeys(text for text in missing if text and text != own))


def answered(claims: Sequence[Claim], evidence: Evidence, known: Known) -> list[Answer]:
    """Return what the results say of each claim."""
    once = replace(evidence, cells=tuple(distinct(evidence.cells)))
    return [_answer(claim, once, known) for claim in claims]


def _answer(claim: Claim, evidence: Evidence, known: Known) -> Answer:
    found = {
        name: measured(name, file, evidence, known) for name, file in claim.file.measures.items()
    }
    outcome = outcome_of(claim, {name: one.state for name, one in found.items()})
    measures = tuple(found.values())
    if outcome is None:
        return Answer(claim, NO_RESULT, _none(claim), claim.file.unmeasured, measures)
    decided = tuple(name for name in found if name in outcome.when and found[name].text)
    return Answer(claim, outcome.verdict, outcome.answer, outcome.says, measures, decided)


def _none(claim: Claim) -> str:
    return "no result yet" if claim.file.measures else "not measured"


def outcome_of(claim: Claim, states: Mapping[str, State]) -> OutcomeFile | None:
    """Return the first outcome that fits the states of a claim's measures."""
    return next((one for one in claim.file.outcomes if all(_fits(one, states))), None)


def _fits(outcome: OutcomeFile, states: Mapping[str, State]) -> Iterator[bool]:
    for name, wanted in outcome.when.items():
        yield states[name] in (wanted if isinstance(wanted, list) else [wanted])
