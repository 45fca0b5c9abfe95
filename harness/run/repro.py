# SPDX-License-Identifier: GPL-2.0-only
"""The main job: play a plan on one kernel and judge every cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness.errors import InfrastructureError, KernelFault, is_foreseen
from harness.guest.records import LINE_SHOWN, Introduction, Record, Refusal
from harness.guest.splat import Splat, complaints
from harness.kernel.kernel import Bootable
from harness.model.assembled import observe
from harness.model.observation import Observation
from harness.model.verdict import judge
from harness.model.witness import Sighting, disagreements
from harness.modules.build import Modules
from harness.run.boot import HELD_PLAN, Setup, start
from harness.run.logs import Run
from harness.run.observer import Observer
from harness.run.plan import BROKEN, INTERRUPTED, Outcome, Play, Result, ended_run
from harness.run.session import DEFAULT_DEADLINES, Deadlines, Session
from harness.run.tries import Tries
from harness.steps import step
from harness.vm.machine import DEFAULT_CONFIG, Config

# How many times the kernel may die or hang before the rest of the plan is given up.
FAULTS_MAX = 5


class _Run:
    """The state of a run in progress."""

    def __init__(
        self, setup: Setup, plays: Sequence[Play], on_outcome: Callable[[Outcome], None]
    ) -> None:
        self._setup = setup
        self._plays = plays
        self._on_outcome = on_outcome
        self._outcomes: list[Outcome] = []
        self._kernel_errors: list[str] = []
        self._tries = Tries()
        self._boots = 0
        self._faults = 0
        self._broken = False

    def result(self) -> Result:
        """Return the result as far as it has come."""
        return Result(
            spec=self._setup.kernel.spec,
            release=self._setup.kernel.release,
            engine=self._setup.kernel.engine.value,
            compiler=self._setup.modules.compiler,
            outcomes=tuple(self._outcomes),
            planned=len(self._plays),
            kernel_errors=tuple(self._kernel_errors),
            harness_errors=(*self._tries.errors, *self._setup.logs.unwritten),
            retried=tuple(self._tries.retried),
            boots=self._boots,
            broken=self._broken,
            witness=self._testified,
            jprobes=self._setup.kernel.jprobes,
            make=self._setup.kernel.variables,
            logs=str(self._setup.logs),
        )

    @property
    def _testified(self) -> bool:
        return bool(self._setup.observer and self._setup.observer.testifies)

    def play(self, on_boot: Callable[[], None]) -> None:
        """Boot until all is played or another boot would not help."""
        while len(self._outcomes) < len(self._plays):
            if self._faults == FAULTS_MAX:
                self._tries.errors.append(
                    f"The kernel died or hung {self._faults} times; the rest is left."
                )
                return
            if not self._boot(on_boot):
                return

    def _boot(self, on_boot: Callable[[], None]) -> bool:
        """Play what is left in one boot; return False if another boot would not help."""
        self._boots += 1
        first = len(self._outcomes)
        rest = self._plays[first:]
        session: Session | None = None
        splats: Sequence[Splat] = ()
        boot = step(f"boot {self._boots} of {self._setup.kernel.spec}, to play {len(rest)}")
        try:
            with boot, start(self._setup, [play.line for play in rest]) as session:
                on_boot()
                try:
                    self._judge(session, rest)
                finally:
                    session.hear_out()
                    splats = () if session.starved else session.console.watcher.splats
        except KernelFault as fault:
            assert session
            self._faults += 1
            return self._judge_fault(fault, session)
        except InfrastructureError as error:
            return self._tries.again(error)
        finally:
            self._pin(splats, first)
        return True

    def end(self, by: BaseException) -> None:
        """Record that a signal or a fault of this program's own ended the run."""
        self._broken = not isinstance(by, KeyboardInterrupt)
        self._tries.errors.append(BROKEN if self._broken else INTERRUPTED)

    def _records(
        self, session: Session, plays: Sequence[Play]
    ) -> Iterator[tuple[Record, Sighting | None]]:
        """Return the guest's introduction, then each play's record with a witness's sighting."""
        observer = self._setup.observer
        if observer is None:
            return ((record, None) for record in session.records(len(plays)))
        on_failure = self._tries.errors.append
        return observer.records(session, self._setup.modules, plays, f"/{HELD_PLAN}", on_failure)

    def _judge(self, session: Session, plays: Sequence[Play]) -> None:
        """Judge each record as it arrives; it must be that of the plan's next play."""
        expected = 1
        for record, sighting in self._records(session, plays):
            if isinstance(record, Introduction):
                self._check_release(record)
                continue
            if expected > len(plays):
                raise session.protocol_fault("The guest sent more records than were planned.")
            if not isinstance(record, Observation | Refusal) or record.seq != expected:
                raise session.protocol_fault(f"The guest's record {expected} did not come.")
            outcome = judge_record(plays[expected - 1], record, self._setup.modules)
            if self._testified:
                outcome = heard(outcome, sighting)
            expected += 1
            self._add(outcome)

    def _check_release(self, guest: Introduction) -> None:
        if guest.release != self._setup.kernel.release:
            raise InfrastructureError(
                f"The guest runs {guest.release}, not {self._setup.kernel.release}.",
                "The image and its modules are of different kernels.",
            )

    def _add(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._on_outcome(outcome)

    def _judge_fault(self, fault: KernelFault, session: Session) -> bool:
        """Add a fault to its play or the run; return False if another boot would not help."""
        text = f"{type(fault).__name__}: {fault.sentence}"
        judged = len(self._outcomes)
        if session.guest and judged < len(self._plays):
            self._add(Outcome(self._plays[judged], None, (text,)))
            return True
        self._kernel_errors.append(text)
        return bool(session.guest)

    def _pin(self, splats: Sequence[Splat], first: int) -> None:
        """Add each complaint of the kernel's to the play during which it came, if there is one."""
        for splat in splats:
            index = first + splat.seq - 1
            if splat.seq == 0 or index >= len(self._outcomes):
                self._kernel_errors += complaints([splat])
            else:
                outcome = self._outcomes[index]
                self._outcomes[index] = replace(
                    outcome,
                    errors=(*outcome.errors, *complaints([splat])),
                    splats=(*outcome.splats, splat),
                )


def run(
    kernel: Bootable,
    modules: Modules,
    plays: Sequence[Play],
    *,
    config: Config = DEFAULT_CONFIG,
    deadlines: Deadlines = DEFAULT_DEADLINES,
    observer: Observer | None = None,
    on_boot: Callable[[], None] = lambda: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> Result:
    """
    Play `plays` in as few boots as possible: one, unless the kernel dies.

    A play during which the kernel dies differs and is never retried; the rest is
    played in another boot.  An `observer` watches all boots.  `on_boot` is called
    while a guest boots, for work that can be done meanwhile.  Raises one of
    plan.ENDED with the result so far.
    """
    if observer:
        observer.check(kernel)
    setup = Setup(kernel, modules, config, deadlines, Run(kernel, modules), observer)
    run = _Run(setup, plays, on_outcome)
    ended: BaseException | None = None
    try:
        run.play(on_boot)
    except (KeyboardInterrupt, Exception) as error:
        if is_foreseen(error):
            raise
        run.end(error)
        ended = error
    finally:
        made = run.result()
        agree = len(made.outcomes) - len(made.differing)
        setup.logs.finish(planned=made.planned, agree=agree, status=made.exit_status)
    result = run.result()
    if ended:
        raise ended_run(ended, result) from ended
    return result


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
    errors = complaints(splats)
    if not isinstance(record, Observation):
        return Outcome(play, None, (f"The guest did not play it: {record}", *errors))
    if record.line != play.line[:LINE_SHOWN]:
        return Outcome(play, None, (f"The guest played '{record.line}'.", *errors))
    private_copies = modules.private_copies.get(play.case.name, ())
    if play.image:
        record = observe(play.image, record)
        private_copies = ()
        if record.frame is None:
            return Outcome(play, None, ("The guest does not report the caller's frame.", *errors))
    verdict = judge(play.case, play.variant.expected, record, private_copies)
    return Outcome(play, verdict, errors, tuple(splats))
