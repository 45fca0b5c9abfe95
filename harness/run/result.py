# SPDX-License-Identifier: GPL-2.0-only
"""Results of runs: what came of each item of a plan, and what went wrong beside that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from harness.errors import Exit, OwnFault, Stopped
from harness.guest.splat import Splat, fingerprint
from harness.run.logs import see
from harness.run.plan import Outcome, Play


class Judged(Protocol):
    """What came of one item of a plan."""

    @property
    def agrees(self) -> bool:
        """Whether all is as predicted."""


Came = TypeVar("Came", bound=Judged, covariant=True)


@dataclass(frozen=True)
class KernelError:
    """A fault or a complaint of the kernel's that belongs to no single item."""

    # The class of the fault, such as KernelHung, or the kind of the complaint.
    kind: str
    sentence: str
    # What the kernel printed of it, if anything.
    splat: Splat | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for the same error in another boot or build, however it is worded."""
        return fingerprint(self.splat) if self.splat else self.kind

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}"


@dataclass(frozen=True, kw_only=True)
class Account:
    """How the boots of a run went, whatever it plays."""

    kernel_errors: tuple[KernelError, ...] = ()
    # What went wrong through no fault of the kernel's.
    harness_errors: tuple[str, ...] = ()
    # Failures of our own tools after which the rest was played again.
    retried: tuple[str, ...] = ()
    boots: int = 1
    # How many of the boots were clones of a guest that had booted.
    resumed: int = 0
    # Whether a fault of this program's own ended the run.
    broken: bool = False
    # Folder with the console logs, or several.
    logs: str = ""

    @property
    def errors(self) -> tuple[str, ...]:
        return (*map(str, self.kernel_errors), *self.harness_errors)

    def status(self, *, planned: int, judged: int, differing: int) -> Exit:
        """Return the exit status of a run with so many items."""
        if self.kernel_errors and not judged:
            # It never came so far that anything could be judged.
            return Exit.UNJUDGED
        if differing or self.kernel_errors:
            return Exit.DIFFERS
        if self.broken:
            return Exit.OWN_FAULT
        whole = judged == planned and not self.harness_errors
        return Exit.AGREES if whole else Exit.INFRASTRUCTURE


# The worst first.
_STATUSES = (
    Exit.DIFFERS, Exit.OWN_FAULT, Exit.INFRASTRUCTURE, Exit.USAGE, Exit.UNJUDGED, Exit.AGREES,
)  # fmt: skip


def worst(statuses: Iterable[Exit]) -> Exit:
    """Return the exit status of runs on several kernels."""
    return min(statuses, key=_STATUSES.index, default=Exit.AGREES)


def together(accounts: Sequence[Account]) -> Account:
    """Return one account of several runs."""
    return Account(
        kernel_errors=tuple(error for one in accounts for error in one.kernel_errors),
        harness_errors=tuple(text for one in accounts for text in one.harness_errors),
        retried=tuple(text for one in accounts for text in one.retried),
        boots=sum(one.boots for one in accounts),
        resumed=sum(one.resumed for one in accounts),
        broken=any(one.broken for one in accounts),
        logs=", ".join(dict.fromkeys(one.logs for one in accounts)),
    )


@dataclass(frozen=True)
class Batch(Account, Generic[Came]):
    """The result of a plan on one kernel."""

    # The spec as the user gave it, and uname -r.
    spec: str
    release: str
    # The engine that implements jprobes: "port" or "native".
    engine: str
    compiler: str
    # In the plan's order; items that were never reached are missing.
    outcomes: tuple[Came, ...]
    planned: int

    @property
    def complete(self) -> bool:
        return len(self.outcomes) == self.planned

    @property
    def differing(self) -> list[Came]:
        return [outcome for outcome in self.outcomes if not outcome.agrees]

    @property
    def exit_status(self) -> Exit:
        return self.status(
            planned=self.planned, judged=len(self.outcomes), differing=len(self.differing)
        )


@dataclass(frozen=True)
class Result(Batch[Outcome]):
    """The result of a plan of plays on one kernel."""

    # Whether a debugger watched the plays.
    witness: bool = False
    # A description of what the tree's own jprobes do; empty for the port.
    jprobes: str = ""
    # Variables that make was given.
    make: tuple[str, ...] = ()
    # Why cases that were asked for cannot be played on the kernel, by name.
    lacking: Mapping[str, str] = field(default_factory=dict)


def merged(
    results: Sequence[Result], plan: Sequence[Play], lacking: Mapping[str, str] | None = None
) -> Result:
    """Merge the runs of one kernel's images, with the outcomes in the plan's order."""
    first = replace(results[0], lacking=lacking or {})
    if len(results) == 1:
        return replace(first, planned=len(plan))
    order = {(play.variant.name, play.case.name): index for index, play in enumerate(plan)}
    outcomes = [outcome for result in results for outcome in result.outcomes]
    outcomes.sort(key=lambda o: order[o.play.variant.name, o.play.case.name])
    account = vars(together(results))
    return replace(first, outcomes=tuple(outcomes), planned=len(plan), **account)


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
        return worst([*statuses, *(unjudged.exit_status for unjudged in self.unjudged)])


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


class Cut(Exception):
    """A signal or a fault of this program's own, `__cause__`, ended a run in batches."""

    def __init__(self, kept: Sequence[Any]) -> None:
        super().__init__()
        # What is kept of the batches that had begun and were not yet returned.
        self.kept = kept


# A run raises one of these, with its result so far, in place of what ended it.
ENDED = (Interrupted, Broken)


def ended(
    by: BaseException, result: Any, judged: int, planned: int, what: str
) -> Interrupted | Broken:
    """Return one of ENDED, to be raised from `by`."""
    kind = Interrupted if isinstance(by, KeyboardInterrupt) else Broken
    return kind(result, judged, planned, what)


def ended_run(by: BaseException, result: Batch[Any], what: str = "plays") -> Interrupted | Broken:
    """Call ended() for a plan of `what`."""
    judged = len(result.outcomes)
    return ended(by, result, judged, result.planned, f"{what} on {result.spec}")
