# SPDX-License-Identifier: GPL-2.0-only
"""The main job: play a plan on one kernel and judge every cell."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.errors import InfrastructureError, KernelFault
from harness.guest import initramfs
from harness.guest.protocol import Record, Refusal
from harness.guest.splat import Splat
from harness.kernel.kernel import Kernel
from harness.kernel.modules import Modules
from harness.model.observation import Observation
from harness.model.verdict import judge
from harness.run.logs import new_folder
from harness.run.plan import Outcome, Play, Result
from harness.run.session import DEFAULT_DEADLINES, Deadlines, Session
from harness.vm.machine import DEFAULT_CONFIG, Config, Machine

# Boots after the kernel died or hung, so that the other plays get a verdict.
FAULTS_MAX = 5
# Further tries when our own tools failed.
RETRIES = 1


@dataclass
class _Boot:
    """What one boot gave."""

    outcomes: list[Outcome] = field(default_factory=list)
    splats: list[Splat] = field(default_factory=list)
    fault: KernelFault | None = None


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

    `on_boot` is called while the guest boots, to do what else is to be done.

    The play during which the kernel dies is judged as that, never retried; the
    rest is played in a further boot.
    """
    logs = new_folder()
    base, channel = initramfs.cached_minimal(kernel, modules.files, modules.key)
    outcomes: list[Outcome] = []
    trouble: list[str] = []
    boots = faults = retries = 0

    def result() -> Result:
        return Result(
            spec=kernel.spec,
            release=kernel.release,
            compiler=modules.compiler,
            outcomes=tuple(outcomes),
            planned=len(plays),
            trouble=tuple(trouble),
            boots=boots,
            logs=str(logs),
        )

    while len(outcomes) < len(plays) and faults < FAULTS_MAX:
        boots += 1
        rest = plays[len(outcomes) :]
        boot = _Boot()
        initrd = base + initramfs.plan([play.line for play in rest])
        try:
            with (
                Machine(kernel.image, initrd, config) as machine,
                open(logs / f"console-{boots}.log", "w") as log,
            ):
                (logs / f"command-{boots}").write_text(shlex.join(machine.command) + "\n")
                (logs / f"plan-{boots}").write_text("".join(f"{p.line}\n" for p in rest))
                on_boot()
                session = Session(machine, channel, deadlines, log=log)
                _play(session, rest, boot, on_outcome)
        except KeyboardInterrupt:
            outcomes += boot.outcomes
            trouble.append("Interrupted; the plays that were judged are kept.")
            return result()
        except InfrastructureError as error:
            outcomes += boot.outcomes
            if retries == RETRIES:
                trouble.append(str(error))
                return result()
            retries += 1
            continue
        outcomes += _with_splats(boot)
        trouble += [f"{s.kind.value}: {s}" for s in boot.splats if s.seq == 0]
        if boot.fault:
            faults += 1
            if not boot.outcomes and boot.splats and boot.splats[0].seq == 0:
                trouble.append(f"The kernel did not come up: {boot.fault.sentence}")
                return result()
    return result()


def _play(
    session: Session,
    plays: Sequence[Play],
    boot: _Boot,
    on_outcome: Callable[[Outcome], None],
) -> None:
    try:
        for record in session.records(len(plays)):
            if isinstance(record, Observation | Refusal):
                outcome = judge_record(plays[record.seq - 1], record)
                boot.outcomes.append(outcome)
                on_outcome(outcome)
    except KernelFault as fault:
        boot.fault = fault
        if session.guest and len(boot.outcomes) < len(plays):
            play = plays[len(boot.outcomes)]
            outcome = Outcome(play, None, (f"{type(fault).__name__}: {fault.sentence}",))
            boot.outcomes.append(outcome)
            on_outcome(outcome)
    finally:
        boot.splats = session.console.watcher.splats


def judge_record(play: Play, record: Record, splats: Sequence[Splat] = ()) -> Outcome:
    """What a record says of the play that it came from."""
    trouble = tuple(f"{splat.kind.value}: {splat}" for splat in splats)
    if not isinstance(record, Observation):
        return Outcome(play, None, (f"The guest did not play it: {record}", *trouble))
    verdict = judge(play.case, play.variant.policy, record)
    return Outcome(play, verdict, trouble, tuple(splats))


def _with_splats(boot: _Boot) -> list[Outcome]:
    """Pin each complaint of the kernel's on the play that it came in."""
    outcomes = list(boot.outcomes)
    for splat in boot.splats:
        if 0 < splat.seq <= len(outcomes):
            outcome = outcomes[splat.seq - 1]
            outcomes[splat.seq - 1] = replace(
                outcome,
                trouble=(*outcome.trouble, f"{splat.kind.value}: {splat}"),
                splats=(*outcome.splats, splat),
            )
    return outcomes
