# SPDX-License-Identifier: GPL-2.0-only
"""The main job: play a plan on one kernel and judge every cell."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from harness import steps
from harness.guest.deadlines import DEFAULT_DEADLINES, Deadlines
from harness.guest.records import LINE_SHOWN, Record
from harness.guest.splat import Splat
from harness.kernel.kernel import Bootable
from harness.model import driven
from harness.model.assembled import observe
from harness.model.case import Effect
from harness.model.observation import Observation
from harness.model.verdict import judge
from harness.model.witness import Sighting, disagreements
from harness.modules.build import Modules
from harness.run import batch, boot, players
from harness.run.batch import Answer, Share, Trial
from harness.run.boot import Setup
from harness.run.logs import Run
from harness.run.observer import Observer, Watched
from harness.run.plan import Drawn, Outcome, Play
from harness.run.result import ENDED, Batch, Cut, Result
from harness.run.session import Session
from harness.vm.machine import DEFAULT_CONFIG, Config

Kept = TypeVar("Kept")


class _Plays(Trial[Play, Outcome]):
    """Plays cells, and lets an observer watch them."""

    items = "plays"
    answer = Observation

    def __init__(self, modules: Modules, observer: Observer | None) -> None:
        self._modules = modules
        self._observer = observer

    def line(self, item: Play) -> str:
        return item.line

    def records(
        self, session: Session, items: Sequence[Play], failures: list[str]
    ) -> Iterator[tuple[Record, Sighting | None]]:
        if self._observer is None:
            return super().records(session, items, failures)
        watched = Watched(session, self._modules, items, failures)
        return self._observer.records(watched)

    def judge(self, item: Play, answer: Answer, sighting: Sighting | None) -> Outcome:
        outcome = judge_record(item, answer, self._modules)
        return heard(outcome, sighting) if testifies(self._observer) else outcome

    def died(self, item: Play, reason: str) -> Outcome:
        return Outcome(item, None, (reason,))

    def shares(self, items: Sequence[Play]) -> list[Share[Play]]:
        """Play what may oops last, and what does by prediction as the last of its guest."""
        # To look at what is drawn is to draw it, while no guest plays.
        if isinstance(items, Drawn) or not any(map(_may_oops, items)):
            return super().shares(items)
        oopses = list(map(_oopses, items))
        order = sorted(range(len(items)), key=lambda at: (_may_oops(items[at]), oopses[at]))
        ends = [end for end, place in enumerate(order, 1) if oopses[place]]
        parts = [order[first:end] for first, end in itertools.pairwise([0, *ends, len(order)])]
        return [Share([items[at] for at in part], part, survives=True) for part in parts if part]

    def spent(self, answer: Answer) -> bool:
        return isinstance(answer, Observation) and driven.killed(answer)

    def complained(self, came: Outcome, splats: Sequence[Splat]) -> Outcome:
        return came.complained(splats)


def _may_oops(play: Play) -> bool:
    return play.case.real is not None and play.case.real.effect is Effect.OOPS


def _oopses(play: Play) -> bool:
    """Return whether a play oopses by prediction, as far as there is one without a guest."""
    return _may_oops(play) and Effect.OOPS in driven.foreseen(play.case, play.variant.expected)


def testifies(observer: Observer | None) -> bool:
    """Return whether a witness compares each play with the guest's record."""
    return observer is not None and observer.testifies


def run(
    kernel: Bootable,
    modules: Modules,
    plays: Sequence[Play],
    *,
    config: Config = DEFAULT_CONFIG,
    deadlines: Deadlines = DEFAULT_DEADLINES,
    observer: Observer | None = None,
) -> Result:
    """
    Play `plays` in as few boots as possible: one, unless the kernel dies.

    An `observer` watches all boots; without one, players share the plays where there are some.
    Raises one of result.ENDED with the result so far.
    """
    if observer:
        observer.check(kernel)
    others = players.PLAYERS.get()
    if others and not observer and len(plays) > players.LEAST:
        part = players.Part(kernel, modules, plays, config, deadlines, boot.keeps())
        return others.run(part)

    def make(played: Batch[Outcome]) -> Result:
        return Result(
            **vars(played),
            witness=testifies(observer),
            jprobes=kernel.jprobes,
            make=kernel.variables,
        )

    setup = Setup(kernel, modules, config, deadlines, Run(kernel, modules), observer)
    return batch.run(setup, _Plays(modules, observer), plays, make)


def run_each(
    kernel: Bootable,
    modules: Modules,
    plays: Sequence[Play],
    size: int,
    keep: Callable[[Result], Kept],
) -> Generator[Kept, None, None]:
    """
    Play a plan in batches of `size`, in one guest or in one for each player.

    Yields in the plan's order what `keep`, a function of a module, makes of each batch's
    result.  Raises as run(), but Cut in place of result.ENDED.
    """
    if others := players.PLAYERS.get():
        part = players.Part(
            kernel, modules, plays, DEFAULT_CONFIG, DEFAULT_DEADLINES, more=False, keep=keep
        )
        yield from others.each(part, min(size, -(-len(plays) // len(others))))
        return
    with boot.keeping() as kept:
        for first in range(0, len(plays), size):
            kept.more = first + size < len(plays)
            try:
                with steps.part(first, len(plays)):
                    result = run(kernel, modules, plays[first : first + size])
            except ENDED as error:
                raise Cut([keep(error.result)]) from error.__cause__
            yield keep(result)


def heard(outcome: Outcome, sighting: Sighting | None) -> Outcome:
    """Return the outcome with the disagreements between the guest and a witness."""
    if outcome.verdict is None:
        return outcome
    observation = outcome.verdict.observation
    return replace(outcome, witness=disagreements(outcome.play.case, observation, sighting))


def judge_record(
    play: Play, record: Record, modules: Modules, splats: Sequence[Splat] = ()
) -> Outcome:
    """What a record says of the play that it came from, with `modules` in the guest."""
    return _judged(play, record, modules).complained(splats)


def _judged(play: Play, record: Record, modules: Modules) -> Outcome:
    if not isinstance(record, Observation):
        return Outcome(play, None, (f"The guest did not play it: {record}",))
    if record.line != play.line[:LINE_SHOWN]:
        return Outcome(play, None, (f"The guest played '{record.line}'.",))
    private_copies = modules.private_copies.get(play.case.name, ())
    if play.image:
        record = observe(play.image, record)
        private_copies = ()
        if record.frame is None:
            return Outcome(play, None, ("The guest does not report the caller's frame.",))
    if play.case.real:
        record = driven.observe(play.case, record)
    verdict = judge(play.case, play.variant.expected, record, private_copies)
    return Outcome(play, verdict)
