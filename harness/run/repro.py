# SPDX-License-Identifier: GPL-2.0-only
"""The main job: play a plan on one kernel and judge every cell."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.errors import InfrastructureError, KernelFault
from harness.guest import initramfs
from harness.guest.protocol import HINT, LINE_SHOWN, Guest, ProtocolError, Record, Refusal
from harness.guest.splat import Splat
from harness.kernel.kernel import Kernel
from harness.kernel.modules import Modules
from harness.model.assembled import observe
from harness.model.observation import Observation
from harness.model.verdict import judge
from harness.run.logs import new_folder
from harness.run.plan import Interrupted, Outcome, Play, Result
from harness.run.session import DEFAULT_DEADLINES, Deadlines, Session
from harness.vm.machine import DEFAULT_CONFIG, Config, Machine

# Boots after the kernel died or hung, so that the other plays get a verdict.
FAULTS_MAX = 5
# Further tries when our own tools failed.
RETRIES = 1


@dataclass
class _Run:
    """A run as it grows."""

    outcomes: list[Outcome] = field(default_factory=list)
    kernel_trouble: list[str] = field(default_factory=list)
    own_trouble: list[str] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)
    boots: int = 0


def run(
    kernel: Kernel,
    modules: Modules,
    plays: Sequence[Play],
    *,
    config: Config = DEFAULT_CONFIG,
    deadlines: Deadlines = DEFAULT_DEADLINES,
    on_boot: Callable[[], None] = lambda: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> Result:
    """
    Play `plays` in as few boots as possible: one, unless the kernel dies.

    The play during which the kernel dies is judged as that, never retried; the
    rest is played in a further boot.  `on_boot` is called while a guest boots,
    to do what else is to be done.  Raises Interrupted with what there is.
    """
    logs = new_folder()
    base, channel = initramfs.cached_minimal(kernel, modules.files, modules.key)
    run = _Run()
    faults = 0

    def result() -> Result:
        return Result(
            spec=kernel.spec,
            release=kernel.release,
            compiler=modules.compiler,
            outcomes=tuple(run.outcomes),
            planned=len(plays),
            kernel_trouble=tuple(run.kernel_trouble),
            own_trouble=tuple(run.own_trouble),
            retried=tuple(run.retried),
            boots=run.boots,
            logs=str(logs),
        )

    while len(run.outcomes) < len(plays):
        if faults == FAULTS_MAX:
            run.own_trouble.append(f"The kernel died or hung {faults} times; the rest is left.")
            break
        run.boots += 1
        first = len(run.outcomes)
        rest = plays[first:]
        initrd = base + initramfs.plan([play.line for play in rest])
        try:
            with (
                Machine(kernel.image, initrd, config) as machine,
                (logs / f"console-{run.boots}.log").open("w", encoding="utf-8") as log,
            ):
                command = shlex.join(machine.command)
                (logs / f"command-{run.boots}").write_text(f"{command}\n")
                (logs / f"plan-{run.boots}").write_text("".join(f"{p.line}\n" for p in rest))
                on_boot()
                session = Session(machine, channel, deadlines, log=log)
                try:
                    _play(session, kernel, rest, run, on_outcome)
                finally:
                    _pin(session.console.watcher.splats, first, run)
        except KernelFault as fault:
            faults += 1
            if not _judge_fault(fault, session, rest, first, run, on_outcome):
                break
        except InfrastructureError as error:
            if len(run.retried) == RETRIES:
                run.own_trouble.append(str(error))
                break
            run.retried.append(error.sentence)
        except KeyboardInterrupt:
            run.own_trouble.append("Interrupted; the plays that were judged are kept.")
            raise Interrupted(result()) from None
    return result()


def _play(
    session: Session,
    kernel: Kernel,
    plays: Sequence[Play],
    run: _Run,
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Judge each record as it comes; it must be the next one of the plan."""
    expected = 1
    for record in session.records(len(plays)):
        if isinstance(record, Guest):
            if record.release != kernel.release:
                raise InfrastructureError(
                    f"The guest runs {record.release}, not {kernel.release}.",
                    "The image and its modules are of different kernels.",
                )
            continue
        if not isinstance(record, Observation | Refusal) or record.seq != expected:
            raise ProtocolError(f"The guest's record {expected} did not come.", HINT)
        outcome = judge_record(plays[expected - 1], record)
        expected += 1
        run.outcomes.append(outcome)
        on_outcome(outcome)


def _judge_fault(
    fault: KernelFault,
    session: Session,
    plays: Sequence[Play],
    first: int,
    run: _Run,
    on_outcome: Callable[[Outcome], None],
) -> bool:
    """Put a fault where it belongs; False where a further boot would not help."""
    text = f"{type(fault).__name__}: {fault.sentence}"
    judged = len(run.outcomes) - first
    if session.guest and judged < len(plays):
        splats = tuple(s for s in session.console.watcher.splats if s.seq == judged + 1)
        outcome = Outcome(plays[judged], None, (text, *_complaints(splats)), splats)
        run.outcomes.append(outcome)
        on_outcome(outcome)
        return True
    run.kernel_trouble.append(text)
    return bool(session.guest)


def judge_record(play: Play, record: Record, splats: Sequence[Splat] = ()) -> Outcome:
    """What a record says of the play that it came from."""
    trouble = _complaints(splats)
    if not isinstance(record, Observation):
        return Outcome(play, None, (f"The guest did not play it: {record}", *trouble))
    if record.line != play.line[:LINE_SHOWN]:
        return Outcome(play, None, (f"The guest played '{record.line}'.", *trouble))
    if play.image:
        record = observe(play.image, record)
    verdict = judge(play.case, play.variant.policy, record)
    return Outcome(play, verdict, trouble, tuple(splats))


def _complaints(splats: Sequence[Splat]) -> tuple[str, ...]:
    return tuple(f"{splat.kind.value}: {splat}" for splat in splats)


def _pin(splats: Sequence[Splat], first: int, run: _Run) -> None:
    """Pin each complaint of the kernel's on the play that it came in."""
    for splat in splats:
        index = first + splat.seq - 1
        if splat.seq == 0:
            run.kernel_trouble += _complaints([splat])
        elif index < len(run.outcomes):
            outcome = run.outcomes[index]
            run.outcomes[index] = replace(
                outcome,
                trouble=(*outcome.trouble, *_complaints([splat])),
                splats=(*outcome.splats, splat),
            )
