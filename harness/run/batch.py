# SPDX-License-Identifier: GPL-2.0-only
"""
Plays the items of a plan in as few boots as possible, and accounts for what goes wrong.

An item during which the kernel dies or hangs is as it is: it is never played again, and the
rest is played in another boot.  A failure of this machine's own tools is made up for by
another boot, once.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, overload

from harness.errors import InfrastructureError, KernelFault, UnfitEmulator, is_foreseen
from harness.guest.records import LINE_SHOWN, Introduction, Record, Refusal
from harness.guest.splat import Splat
from harness.model.cost import CostRecord
from harness.model.observation import Observation
from harness.model.storm import Storm
from harness.model.witness import Sighting
from harness.run.boot import Setup, playing
from harness.run.result import BROKEN, INTERRUPTED, Batch, Judged, KernelError, ended_run
from harness.run.session import TOO_MANY, Session
from harness.steps import progress, step

Item = TypeVar("Item")
Came = TypeVar("Came", bound=Judged)
Made = TypeVar("Made", bound=Batch[Judged])
# What a guest sends in answer to one line of a plan.
Answer = Observation | Storm | CostRecord | Refusal

# How many times the kernel may die or hang before the rest of the plan is given up.
FAULTS_MAX = 5
# Further boots after a failure of this machine's own tools.
RETRIES = 1


@dataclass(frozen=True)
class Share(Generic[Item]):
    """What is played in one boot, unless the kernel dies."""

    # In the order in which they are played, and the place of each in the plan.
    items: Sequence[Item]
    places: Sequence[int]
    # Whether the guest goes on after an oops; nothing that comes later is played in it.
    survives: bool = False

    def after(self, count: int) -> Share[Item]:
        """Return what is left once so many items have been played."""
        return replace(self, items=self.items[count:], places=self.places[count:])


class _Spent(Exception):
    """A guest has gone on after an oops."""


class Trial(ABC, Generic[Item, Came]):
    """What is done with each item of a plan, and what comes of it."""

    # What the items are called, as in "2 of 3 plays were judged".
    items: str
    # The class of the record that answers an item's line; the guest may also refuse.
    answer: type[Observation | Storm | CostRecord]

    @abstractmethod
    def line(self, item: Item) -> str:
        """Return the item's line in a guest's plan."""

    @abstractmethod
    def judge(self, item: Item, answer: Answer, sighting: Sighting | None) -> Came:
        """
        Return what came of an item, of whose line the answer is.

        Raises InfrastructureError if this machine is to blame.
        """

    @abstractmethod
    def died(self, item: Item, reason: str) -> Came:
        """Return what came of an item that has no verdict, as during it the kernel died."""

    def shares(self, items: Sequence[Item]) -> list[Share[Item]]:
        """Return what is played in each boot; by default all in one, in the plan's order."""
        return [Share(items, range(len(items)))]

    def spent(self, answer: Answer) -> bool:
        """Return whether the guest has gone on after an oops, of which the answer tells."""
        return False

    @abstractmethod
    def complained(self, came: Came, splats: Sequence[Splat]) -> Came:
        """Return what came of an item during which the kernel complained."""

    def records(
        self, session: Session, items: Sequence[Item], failures: list[str]
    ) -> Iterator[tuple[Record, Sighting | None]]:
        """
        Have the items played; yield the answer to each with a witness's sighting.

        Adds a sentence to `failures` for what could not be observed.  Raises as
        Session.records() does.
        """
        session.play(_Lines(self, items))
        return ((record, None) for record in session.records())


class _Lines(Sequence[str]):
    """The lines of items, each of which is made when it is sent."""

    def __init__(self, trial: Trial[Any, Any], items: Sequence[Any]) -> None:
        self._trial = trial
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> _Lines: ...

    def __getitem__(self, index: int | slice) -> str | _Lines:
        if isinstance(index, slice):
            return _Lines(self._trial, self._items[index])
        return self._trial.line(self._items[index])


class Tries:
    """The failures of one run, none of which is the kernel's; a kernel's fault is never retried."""

    def __init__(self) -> None:
        # After these, what was left was played again.
        self.retried: list[str] = []
        # The one that ended the run, with what to do next.
        self.errors: list[str] = []

    def again(self, error: InfrastructureError) -> bool:
        """Note a failure, and return whether a further boot may help."""
        if len(self.retried) == RETRIES or isinstance(error, UnfitEmulator):
            self.errors.append(str(error))
            return False
        self.retried.append(error.sentence)
        return True


class Boots(Generic[Item, Came]):
    """The boots that a plan takes."""

    def __init__(self, setup: Setup, trial: Trial[Item, Came], items: Sequence[Item]) -> None:
        self._setup = setup
        self._trial = trial
        self._planned = len(items)
        self._shares = trial.shares(items)
        # In the order in which they came, which is that of the shares.
        self._outcomes: list[Came] = []
        self._kernel_errors: list[KernelError] = []
        self._tries = Tries()
        self._boots = 0
        self._resumed = 0
        self._faults = 0
        self._broken = False
        # The last item during which the kernel died or hung.
        self._died: int | None = None

    def result(self) -> Batch[Came]:
        """Return the result as far as it has come."""
        kernel, logs = self._setup.kernel, self._setup.logs
        places = itertools.chain.from_iterable(share.places for share in self._shares)
        outcomes = dict(zip(places, self._outcomes))
        return Batch(
            kernel.spec,
            kernel.release,
            kernel.engine.value,
            self._setup.modules.compiler,
            tuple(outcomes[place] for place in sorted(outcomes)),
            self._planned,
            kernel_errors=tuple(self._kernel_errors),
            harness_errors=(*self._tries.errors, *logs.unwritten),
            retried=tuple(self._tries.retried),
            boots=self._boots,
            resumed=self._resumed,
            broken=self._broken,
            logs=str(logs),
        )

    def play(self) -> None:
        """Boot until all is played or another boot would not help."""
        for share in self._shares:
            while share.items:
                if self._faults == FAULTS_MAX:
                    self._tries.errors.append(
                        f"The kernel died or hung {self._faults} times; the rest is left."
                    )
                    return
                before = len(self._outcomes)
                if not self._boot(share):
                    return
                share = share.after(len(self._outcomes) - before)

    def _boot(self, share: Share[Item]) -> bool:
        """Play what is left in one boot; return False if another boot would not help."""
        self._boots += 1
        first = len(self._outcomes)
        items = share.items
        session: Session | None = None
        splats: Sequence[Splat] = ()
        # Lines that the guest had played before.
        played = 0
        boot = step(f"boot {self._boots} of {self._setup.kernel.spec}, to play {len(items)}")
        try:
            with boot, playing(self._setup, _Lines(self._trial, items)) as session:
                self._resumed += session.guest is not None
                session.console.watcher.survives = share.survives
                complaints = session.console.watcher.splats
                heard = len(complaints)
                try:
                    self._check_release(session.introduce())
                    self._report()
                    played = session.played
                    self._judge(session, items)
                finally:
                    session.hear_out()
                    splats = () if session.starved else complaints[heard:]
        except _Spent:
            # What it has played since then is played again.
            judged = played + len(self._outcomes) - first
            splats = [splat for splat in splats if splat.seq is not None and splat.seq <= judged]
        except KernelFault as fault:
            assert session
            self._faults += 1
            return self._judge_fault(fault, session, items[len(self._outcomes) - first :])
        except InfrastructureError as error:
            return self._tries.again(error)
        finally:
            self._pin(splats, first, played)
        return True

    def end(self, by: BaseException) -> None:
        """Record that a signal or a fault of this program's own ended the run."""
        self._broken = not isinstance(by, KeyboardInterrupt)
        self._tries.errors.append(BROKEN if self._broken else INTERRUPTED)

    def _judge(self, session: Session, items: Sequence[Item]) -> None:
        """Judge each record as it arrives; it must be that of the plan's next item."""
        before = session.played
        number = 0
        for record, sighting in self._trial.records(session, items, self._tries.errors):
            if number == len(items):
                raise session.protocol_fault(TOO_MANY)
            item, number = items[number], number + 1
            if (
                not isinstance(record, self._trial.answer | Refusal)
                or record.seq - before != number
            ):
                raise session.protocol_fault(f"The guest's record {number} did not come.")
            self._add(self._outcome(item, record, sighting))
            if number < len(items) and self._trial.spent(record):
                raise _Spent

    def _outcome(self, item: Item, answer: Answer, sighting: Sighting | None) -> Came:
        if isinstance(answer, Refusal):
            return self._trial.died(item, f"The guest did not play it: {answer}")
        if answer.line != self._trial.line(item)[:LINE_SHOWN]:
            return self._trial.died(item, f"The guest played '{answer.line}'.")
        return self._trial.judge(item, answer, sighting)

    def _check_release(self, guest: Introduction) -> None:
        if guest.release != self._setup.kernel.release:
            raise InfrastructureError(
                f"The guest runs {guest.release}, not {self._setup.kernel.release}.",
                "The image and its modules are of different kernels.",
            )

    def _add(self, outcome: Came) -> None:
        self._outcomes.append(outcome)
        self._report()

    def _report(self) -> None:
        what = f"playing on {self._setup.kernel.spec}"
        progress(what, len(self._outcomes), self._planned)

    def _judge_fault(self, fault: KernelFault, session: Session, left: Sequence[Item]) -> bool:
        """
        Add a fault to its item or the run; return False if another boot would not help.

        `left` is what the boot was to play and has not been judged.
        """
        error = KernelError(type(fault).__name__, fault.sentence, session.console.dead)
        if session.guest and left:
            self._died = len(self._outcomes)
            self._add(self._trial.died(left[0], str(error)))
            return True
        self._kernel_errors.append(error)
        return bool(session.guest)

    def _pin(self, splats: Sequence[Splat], first: int, played: int) -> None:
        """
        Add each complaint of the kernel's to the item during which it came, if there is one.

        `first` is the boot's first item, before which its guest had played so many lines.
        """
        for splat in splats:
            # One that the guest did not pin came when it died.
            index = first + splat.seq - played - 1 if splat.seq is not None else self._died
            if index is None or not first <= index < len(self._outcomes):
                self._kernel_errors.append(KernelError(splat.kind.value, str(splat), splat))
            else:
                self._outcomes[index] = self._trial.complained(self._outcomes[index], [splat])


def run(
    setup: Setup,
    trial: Trial[Item, Came],
    items: Sequence[Item],
    make: Callable[[Batch[Came]], Made],
) -> Made:
    """Play `items` and return what `make` makes of the result; raises one of result.ENDED."""
    boots = Boots(setup, trial, items)
    ended: BaseException | None = None
    try:
        boots.play()
    except (KeyboardInterrupt, Exception) as error:
        if is_foreseen(error):
            raise
        boots.end(error)
        ended = error
    finally:
        done = boots.result()
        agree = len(done.outcomes) - len(done.differing)
        setup.logs.finish(planned=done.planned, agree=agree, status=done.exit_status)
    result = make(boots.result())
    if ended:
        raise ended_run(ended, result, trial.items) from ended
    return result
