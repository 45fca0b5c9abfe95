# SPDX-License-Identifier: GPL-2.0-only
"""
Random signatures on one kernel: drawn by seed, played, judged, and shrunk.

The first signatures are compiled, so that a real compiler decides their placement; the
others are sent to the guest as data.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from random import Random
from typing import overload

from harness.cases.checks import check
from harness.cases.generator import draw, simpler
from harness.errors import ConfigError, Exit, UnprovedStore
from harness.kernel.kernel import Kernel
from harness.model.assembled import assemble
from harness.model.case import Case
from harness.model.policy import Variant
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.run import repro
from harness.run.plan import Drawn, Outcome, Play
from harness.run.result import Account, Cut, Result, ended, together
from harness.steps import NOBODY, listening, progress

# Plays whose outcomes are in memory together.
BATCH = 1000
# How many signatures go through a compiler.
COMPILED = 50
# How many boots to spend on simplifying a failure, and how many candidates in each.
SHRINK_ROUNDS = 40
CANDIDATES = 40


@dataclass(frozen=True)
class Campaign(Account):
    """The result of a fuzz run."""

    seed: int
    count: int
    release: str
    compiler: str = ""
    played: int = 0
    # How many of the played signatures were compiled.
    compiled: int = 0
    # How many signatures agree, by class.
    classes: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Outcome, ...] = ()
    # Of everything observed, addresses being taken relative to SP.
    digest: str = ""

    @property
    def exit_status(self) -> Exit:
        return self.status(planned=self.count, judged=self.played, differing=len(self.failures))

    def plus(self, tally: Tally, digest: hashlib._Hash) -> Campaign:
        """Return the campaign with a further batch, which `digest` gets, too."""
        digest.update(tally.observed)
        account = replace(together([self, tally]), logs=tally.logs)
        return replace(
            self,
            played=self.played + tally.played,
            compiled=self.compiled + tally.compiled,
            classes=Counter(self.classes) + Counter(tally.classes),
            failures=(*self.failures, *tally.failures),
            digest=digest.hexdigest(),
            **vars(account),
        )


@dataclass(frozen=True)
class Tally(Account):
    """What is kept of a batch: of its outcomes, only failures."""

    played: int
    compiled: int
    classes: Mapping[str, int]
    failures: tuple[Outcome, ...]
    # The fingerprints of all outcomes.
    observed: bytes


def tally(result: Result) -> Tally:
    agreeing = (outcome.verdict for outcome in result.outcomes if outcome.agrees)
    return Tally(
        played=len(result.outcomes),
        compiled=sum(outcome.play.image is None for outcome in result.outcomes),
        classes=Counter(verdict.label for verdict in agreeing if verdict),
        failures=tuple(result.differing),
        observed="".join(map(fingerprint, result.outcomes)).encode(),
        **vars(together([result])),
    )


class _Drawn(Drawn):
    """One play for each signature, under a variant chosen by the seed; it is drawn when needed."""

    def __init__(
        self, seed: int, indices: Sequence[int], variants: Sequence[Variant], compiled: int
    ) -> None:
        self._seed = seed
        self._indices = indices
        self._variants = variants
        self._compiled = compiled
        self._drawn: dict[int, Play] = {}

    def __reduce__(self) -> tuple[object, ...]:
        # Another process draws them by itself.
        return _Drawn, (self._seed, self._indices, self._variants, self._compiled)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, at: int) -> Play: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Play]: ...

    def __getitem__(self, at: int | slice) -> Play | Sequence[Play]:
        if isinstance(at, slice):
            part = _Drawn(self._seed, self._indices[at], self._variants, self._compiled)
            part._drawn = self._drawn
            return part
        index = self._indices[at]
        if index not in self._drawn:
            if len(self._drawn) == BATCH:
                del self._drawn[next(iter(self._drawn))]
            case = draw(self._seed, index)
            variant = Random(f"{case.name} variant").choice(self._variants)
            self._drawn[index] = _play(variant, case, data=index >= self._compiled)
        return self._drawn[index]


def plays(
    seed: int, indices: Sequence[int], variants: Sequence[Variant], compiled: int
) -> Sequence[Play]:
    """Return one play for each signature, under a variant chosen by the seed."""
    return _Drawn(seed, indices, variants, compiled)


def _play(variant: Variant, case: Case, *, data: bool) -> Play:
    return Play(variant, case, assemble(case, Random(f"{case.name} image")) if data else None)


def run(
    kernel: Kernel,
    seed: int,
    count: int,
    variants: Sequence[Variant],
    *,
    compiled: int = COMPILED,
    build: Callable[[Kernel, Sequence[Case]], Modules] = modules.build,
) -> Campaign:
    """
    Play `count` signatures of `seed`, or those up to the first batch with a failure.

    `build` makes modules with the cases compiled in.  Raises one of result.ENDED with
    the result so far.
    """
    campaign = Campaign(seed, count, kernel.release, boots=0)
    first = plays(seed, range(min(compiled, count)), variants, compiled)
    try:
        built = build(kernel, [play.case for play in first])
    except UnprovedStore as error:
        return replace(campaign, failures=(_unproved(error, first),))
    campaign = replace(campaign, compiler=built.compiler)
    digest = hashlib.sha256()
    chosen = plays(seed, range(count), variants, compiled)
    try:
        with closing(repro.run_each(kernel, built, chosen, BATCH, tally)) as batches:
            for batch in batches:
                campaign = campaign.plus(batch, digest)
                if campaign.failures or campaign.errors:
                    break
    except (KeyboardInterrupt, Cut) as error:
        by: BaseException = error
        if isinstance(error, Cut) and error.__cause__:
            by = error.__cause__
            for batch in error.kept:
                campaign = campaign.plus(batch, digest)
        raise ended(by, campaign, campaign.played, count, "signatures") from by
    return campaign


def _unproved(error: UnprovedStore, plays: Sequence[Play]) -> Outcome:
    """Return a failure for a compiler that disagrees with the model, found before any play."""
    play = next(play for play in plays if play.case.name == error.case)
    return Outcome(play, None, (error.sentence,))


def fingerprint(outcome: Outcome) -> str:
    """
    Return everything observed in a play that is the same in every boot.

    Addresses count as distances from SP.  What is left out are the bytes that
    hold addresses, the stack's height and what follows from it.
    """
    verdict = outcome.verdict
    if verdict is None or not verdict.judged:
        return f"{outcome.play}: {outcome.reasons}\n"
    seen, play = verdict.observation, outcome.play
    words = [
        str(play),
        verdict.label,
        *map(str, vars(seen.counts).values()),
        str(seen.context.value),
    ]
    for index, placement in enumerate(play.case.layout.placements):
        look = seen.arguments[index]
        at = look.at - seen.hit.sp if placement.by_reference else 0
        moments = (look.before, look.after, look.seen)
        words += [str(at), *(m.hex() if m else "" for m in moments)]
    if seen.object:
        look = seen.object
        moments = (look.before, look.after, look.seen)
        words += [str(look.at - seen.hit.sp), *(m.hex() if m else "" for m in moments)]
    return " ".join(words) + "\n"


def _candidates(case: Case) -> Iterator[Case]:
    for candidate in simpler(case):
        try:
            check(candidate)
        except ConfigError:
            continue
        yield candidate


def shrink(
    kernel: Kernel,
    failure: Outcome,
    *,
    build: Callable[[Kernel, Sequence[Case]], Modules] = modules.build,
) -> Outcome:
    """
    Return the simplest play found that fails too, for whatever reason.

    Each round plays many simpler cases in one boot and continues with the first
    that fails.  On Ctrl-C, the simplest one so far is returned.
    """
    data = failure.play.image is not None
    original = failure.play.case.name
    for number in range(SHRINK_ROUNDS):
        progress("simplifying", number, SHRINK_ROUNDS)
        chosen: list[Play] = []
        for candidate in itertools.islice(_candidates(failure.play.case), CANDIDATES):
            # Compiled cases share a module, so each needs a name of its own.
            name = original if data else f"{original}-{len(chosen)}"
            case = replace(candidate, name=name)
            chosen.append(_play(failure.play.variant, case, data=data))
        try:
            built = build(kernel, [] if data else [play.case for play in chosen])
            with listening(NOBODY):
                found = repro.run(kernel, built, chosen).differing
        except UnprovedStore as error:
            found = [_unproved(error, chosen)]
        except KeyboardInterrupt:
            break
        if not found:
            break
        failure = found[0]
    case = replace(failure.play.case, name=original)
    play = _play(failure.play.variant, case, data=data)
    return replace(failure, play=play)
