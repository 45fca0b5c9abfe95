# SPDX-License-Identifier: GPL-2.0-only
"""The page of answers: what all of its forms show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.answers.answer import Answer
from harness.answers.evidence import Evidence, Run
from harness.errors import Exit

TITLE = "What the review of July 2016 and kprobes.txt claim, held against results"
SHORT = ("question", "answer", "measured")
SOURCES = ("result", "kernel", "release", "compiler", "engine", "when", "as predicted")
MISMATCH = "\N{NOT EQUAL TO}"
# Of the cells that are not as predicted, so many are named.
NAMED = 12


@dataclass(frozen=True)
class Page:
    """Answers, and the results that they rest on."""

    answers: Sequence[Answer]
    evidence: Evidence

    @property
    def exit_status(self) -> Exit:
        """The worst of the results' statuses; a claim without a result is none of it."""
        return self.evidence.exit_status

    @property
    def sentence(self) -> str:
        """What the answers rest on, in one sentence."""
        runs = self.evidence.runs
        if not runs:
            return "There is no result yet; each claim names the command that brings one."
        kernels = list(dict.fromkeys(run.release or run.kernel for run in runs))
        compilers = list(dict.fromkeys(run.compiler for run in runs if run.compiler))
        parts = [f"From {', '.join(kernels)}"]
        if compilers:
            parts.append(f"with {', '.join(compilers)}")
        if days := sorted({run.when.partition(" ")[0] for run in runs if run.when}):
            parts.append(f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}")
        if cells := self.evidence.cells:
            agree = len(cells) - len(self.evidence.differing)
            parts[-1] += f"; {agree:,} of {len(cells):,} cells as predicted"
        return f"{' '.join(parts)}."

    @property
    def warnings(self) -> Iterator[str]:
        """Yield what a reader has to know before trusting the answers."""
        differing = self.evidence.differing
        if differing:
            names = [f"{cell.variant} x {cell.case}" for cell in differing[:NAMED]]
            more = len(differing) - len(names)
            listed = ", ".join(names) + (f" and {more:,} more" if more else "")
            yield (
                f"{MISMATCH} {len(differing):,} cells are not as predicted, and count as they were"
                f" observed: {listed}"
            )
        for run in self.evidence.runs:
            if left := run.planned - run.played:
                yield f"{run.where}, {run.column}: {left:,} of {run.planned:,} plays are missing"
            for text in run.errors:
                yield f"{run.where}, {run.column}: {text}"
        yield from self.evidence.unjudged

    @property
    def short(self) -> list[tuple[str, str, str]]:
        """The short form: a row for each claim."""
        return [(one.claim.question, in_short(one), one.numbers) for one in self.answers]

    @property
    def sources(self) -> list[tuple[str, ...]]:
        """A row for each run."""
        return [_source(run) for run in self.evidence.runs]


def in_short(answer: Answer) -> str:
    """Return an answer and its verdict in a few words."""
    mark = f"{MISMATCH} " if answer.differ and answer.known else ""
    return f"{mark}{answer.answer}: {answer.verdict}" if answer.known else answer.answer


def facts(answer: Answer) -> Iterator[tuple[str, str]]:
    """Yield what is said of one claim, each with its label."""
    file = answer.claim.file
    yield "claim", f"{file.claim} ({file.source.words})"
    yield "verdict", f"{answer.answer}: {answer.verdict}" if answer.known else answer.answer
    yield "meaning", answer.says
    for one in answer.measures:
        if one.text:
            yield one.counts, one.text
        else:
            yield one.counts, f"no result yet, as {one.why}"
    if places := [_place(run) for run in answer.runs]:
        yield "measured on", "; ".join(places)
    if answer.differ and answer.known:
        yield MISMATCH, f"{answer.differ:,} of the cells that count are not as predicted"
    if file.command:
        yield "show it again" if answer.known else "bring a result", file.command
    for command in answer.further:
        yield "bring what is missing", command


def _place(run: Run) -> str:
    return f"{run.column}{f', {run.when}' if run.when else ''}"


def _source(run: Run) -> tuple[str, ...]:
    judged = f"{run.played - run.differ:,} of {run.planned:,}" if run.planned else "-"
    mark = f"{MISMATCH} " if run.status else ""
    names = (run.where, run.kernel, run.release, run.compiler, run.engine, run.when)
    return (*(name or "-" for name in names), f"{mark}{judged}")


def kind(answer: Answer) -> str:
    """Return the kind of a verdict, for its colour: holds, partly, fails or unknown."""
    if not answer.known:
        return "unknown"
    words = {"holds": "holds", "does not hold": "fails"}
    return words.get(answer.verdict, "partly")
