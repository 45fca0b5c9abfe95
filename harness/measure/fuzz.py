# SPDX-License-Identifier: GPL-2.0-only
"""
Random signatures on one kernel: drawn by seed, played, judged, and shrunk.

The first signatures are compiled, so that a real compiler decides their placement; the
others are sent to the guest as data.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

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
from harness.run.plan import ENDED, Broken, Interrupted, Outcome, Play, ended

# Plays in one boot: enough to make the boot's time negligible, few enough for memory.
BATCH = 2000
# How many signatures go through a compiler.
COMPILED = 50
# How many boots to spend on simplifying a failure, and how many candidates in each.
SHRINK_ROUNDS = 40
CANDIDATES = 40


@dataclass
class Campaign:
    """The result of a fuzz run, updated while it runs."""

    seed: int
    count: int
    release: str
    compiler: str = ""
    played: int = 0
    # How many of the played signatures were compiled.
    compiled: int = 0
    # How many signatures agree, by class.
    classes: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    # The kernel's faults and complaints that belong to no single play.
    kernel_errors: list[str] = field(default_factory=list)
    # Why plays were not reached through no fault of the kernel's.
    harness_errors: list[str] = field(default_factory=list)
    # Of everything observed, addresses being taken relative to SP.
    digest: str = ""
    logs: str = ""

    @property
    def errors(self) -> list[str]:
        return self.kernel_errors + self.harness_errors

    @property
    def exit_status(self) -> Exit:
        if self.failures or self.kernel_errors:
            return Exit.DIFFERS
        return Exit.AGREES if self.played == self.count else Exit.INFRASTRUCTURE


def plays(
    seed: int, indices: Sequence[int], variants: Sequence[Variant], compiled: int
) -> list[Play]:
    """Return one play for each signature, under a variant chosen by the seed."""
    made = []
    for index in indices:
        case = draw(seed, index)
        variant = Random(f"{case.name} variant").choice(variants)
        made.append(_play(variant, case, data=index >= compiled))
    return made


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
    on_played: Callable[[int], None] = lambda played: None,
) -> Campaign:
    """
    Play `count` signatures of `seed`, or those up to the first batch with a failure.

    `build` makes modules with the cases compiled in.  Raises one of plan.ENDED with
    the result so far.
    """
    campaign = Campaign(seed, count, kernel.release)
    digest = hashlib.sha256()
    first = plays(seed, range(min(compiled, count)), variants, compiled)
    try:
        built = build(kernel, [play.case for play in first])
    except UnprovedStore as error:
        campaign.failures.append(_unproved(error, first))
        return campaign
    campaign.compiler = built.compiler

    def on_outcome(outcome: Outcome) -> None:
        campaign.played += 1
        campaign.compiled += outcome.play.image is None
        digest.update(fingerprint(outcome).encode())
        on_played(campaign.played)

    def play(indices: Sequence[int]) -> Interrupted | Broken | None:
        """Play a batch and keep its failures; return the exception that ended it, if any."""
        chosen = plays(seed, indices, variants, compiled)
        stopped: Interrupted | Broken | None = None
        try:
            result = repro.run(kernel, built, chosen, on_outcome=on_outcome)
        except ENDED as error:
            stopped, result = error, error.result
        agreeing = (o.verdict for o in result.outcomes if o.agrees)
        campaign.classes.update(verdict.label for verdict in agreeing if verdict)
        campaign.failures += result.differing
        campaign.kernel_errors += result.kernel_errors
        campaign.harness_errors += result.harness_errors
        campaign.logs = result.logs
        campaign.digest = digest.hexdigest()
        return stopped

    for start in range(0, count, BATCH):
        if stopped := play(range(start, min(start + BATCH, count))):
            by = stopped.__cause__
            raise ended(stopped, campaign, campaign.played, count, "signatures") from by
        if campaign.failures or campaign.errors:
            break
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
        *map(str, dataclasses.astuple(seen.counts)),
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
    on_round: Callable[[int], None] = lambda rounds: None,
) -> Outcome:
    """
    Return the simplest play found that fails too, for whatever reason.

    Each round plays many simpler cases in one boot and continues with the first
    that fails.  On Ctrl-C, the simplest one so far is returned.
    """
    data = failure.play.image is not None
    original = failure.play.case.name
    for number in range(SHRINK_ROUNDS):
        on_round(number)
        chosen: list[Play] = []
        for candidate in itertools.islice(_candidates(failure.play.case), CANDIDATES):
            # Compiled cases share a module, so each needs a name of its own.
            name = original if data else f"{original}-{len(chosen)}"
            case = dataclasses.replace(candidate, name=name)
            chosen.append(_play(failure.play.variant, case, data=data))
        try:
            built = build(kernel, [] if data else [play.case for play in chosen])
            found = repro.run(kernel, built, chosen).differing
        except UnprovedStore as error:
            found = [_unproved(error, chosen)]
        except KeyboardInterrupt:
            break
        if not found:
            break
        failure = found[0]
    case = dataclasses.replace(failure.play.case, name=original)
    play = _play(failure.play.variant, case, data=data)
    return dataclasses.replace(failure, play=play)
