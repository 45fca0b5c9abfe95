# SPDX-License-Identifier: GPL-2.0-only
"""A guest that stays up and executes one command after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from harness.errors import InfrastructureError, KernelDied, KernelFault, KernelHung, TestHung
from harness.guest import records
from harness.guest.deadlines import DEFAULT_DEADLINES, Deadlines
from harness.guest.records import Ran, Record, StreamEnd
from harness.guest.splat import Splat
from harness.kernel.kernel import Bootable
from harness.model.case import Case
from harness.model.policy import Variant
from harness.modules.build import Modules
from harness.run import boot
from harness.run.boot import ONLY_MINIMAL, Contents
from harness.run.logs import Run, see
from harness.run.plan import Outcome, Play
from harness.run.repro import judge_record
from harness.run.result import Result
from harness.run.session import Session
from harness.vm.machine import DEFAULT_CONFIG, Config

# Takes the lines of a plan, as the guest's shell does it.
STREAM = "/sys/kernel/debug/jprobe-harness/stream"


@contextmanager
def booted(
    kernel: Bootable,
    modules: Modules,
    config: Config = DEFAULT_CONFIG,
    deadlines: Deadlines = DEFAULT_DEADLINES,
    *,
    contents: Contents = ONLY_MINIMAL,
) -> Iterator[Guest]:
    """
    Start a guest, or go on from a snapshot of one, and end it on exit.

    Raises as the guest's methods do, and InfrastructureError.
    """
    logs = Run(kernel, modules)
    with ExitStack() as resources:
        resources.callback(logs.finish)
        setup = boot.Setup(kernel, modules, config, deadlines, logs)
        session = resources.enter_context(boot.start(setup, contents))
        introduction = session.introduce()
        guest = Guest(kernel, modules, session, introduction, logs)
        guest.check_quiet()
        try:
            yield guest
        finally:
            session.hear_out()
    if guest.lives:
        guest.check_quiet()


class Guest:
    """
    A guest that runs, as booted() starts it.

    Methods raise KernelDied, KernelHung or TestHung for the kernel's fault, and
    KernelFault for a complaint of the kernel's that no play's outcome has.
    """

    def __init__(
        self,
        kernel: Bootable,
        modules: Modules,
        session: Session,
        introduction: records.Introduction,
        logs: Run,
    ) -> None:
        self.kernel = kernel
        self.modules = modules
        self.session = session
        self.introduction = introduction
        self.logs = logs
        self._deadlines = session.deadlines
        self._fault: KernelFault | None = None
        # So many of the kernel's complaints have been reported.
        self._reported = 0

    @property
    def lives(self) -> bool:
        """Whether it has not died or hung yet."""
        return self._fault is None

    def _ask(self, line: str, what: str, seconds: float, hint: str = "") -> Record:
        """Send a line and return the answer; after a fault, every call raises that fault again."""
        if self._fault:
            raise self._fault
        self.check_quiet()
        try:
            # What a guest died of is raised below.
            with suppress(KernelDied):
                self.session.send(line)
            return self.session.await_record(seconds)
        except KernelFault as fault:
            self._fault = _named(fault, what, seconds, hint)
            raise self._fault from fault.__cause__

    def _new_splats(self) -> list[Splat]:
        splats = self.session.console.watcher.splats[self._reported :]
        self._reported += len(splats)
        return splats

    def check_quiet(self) -> None:
        """Raise KernelFault for a complaint of the kernel's that was not reported yet."""
        for splat in self._new_splats():
            if splat.kind.fatal:
                self._fault = KernelDied(str(splat), see(str(self.logs)))
                raise self._fault
            raise KernelFault(f"The kernel complained: {splat}", see(str(self.logs)))

    def check(self) -> None:
        """Raise what the kernel did wrong and was not reported yet; the guest has to answer."""
        self.run(":")

    def play(self, variant: Variant, case: Case) -> Outcome:
        """Play a case under a variant and judge it."""
        play = Play(variant, case)
        record = self._ask(f"play {play.line}", f"{play}", self._deadlines.play)
        return judge_record(play, record, self.modules, self._new_splats())

    def play_lines(self, lines: Sequence[str]) -> Iterator[Record]:
        """
        Play lines of a plan, and yield the record of each.

        Raises InfrastructureError for a guest whose kernel lets nobody open the plan's file.
        """
        if self._fault:
            raise self._fault
        self.check_quiet()
        self.session.play(lines)
        try:
            for record in self.session.records():
                if isinstance(record, StreamEnd):
                    raise self._without_plan()
                yield record
        except KernelFault as fault:
            self._fault = fault
            raise

    def _without_plan(self) -> InfrastructureError | KernelFault:
        """Return the error for a plan that ended by itself, with what the kernel says of it."""
        ran = self.run(f": >{STREAM}")
        if not ran.status:
            return KernelFault("The guest ended a plan by itself.", see(str(self.logs)))
        return InfrastructureError(
            f"The guest takes no plan: {ran.output.strip()}.",
            f"Does its kernel lock itself down?  {see(str(self.logs))}",
        )

    def dump(self) -> Path:
        """
        Write a dump of the running guest, for jprobe-harness dump; return its path.

        Raises ConfigError for a kernel whose dumps cannot be read, DumpError if the dump
        cannot be written.
        """
        from harness.inspect import postmortem

        postmortem.check(self.kernel)
        assert self.session.log
        postmortem.note_places(self.session, self.modules, self.session.log)
        return postmortem.write(self.session, self.session.log)

    def result(self, outcomes: Sequence[Outcome], planned: int) -> Result:
        """Return the plays in this guest as the result of a run."""
        return Result(
            spec=self.kernel.spec,
            release=self.kernel.release,
            engine=self.kernel.engine.value,
            compiler=self.modules.compiler,
            outcomes=tuple(outcomes),
            planned=planned,
            jprobes=self.kernel.jprobes,
            make=self.kernel.variables,
            resumed=int(self.session.machine.machine.cloned),
            harness_errors=tuple(self.logs.unwritten),
            logs=str(self.logs),
        )

    def run(self, command: str, seconds: float | None = None) -> Ran:
        """
        Run a command line in the guest's shell (busybox); return its status and output.

        Raises TestHung after `seconds`, by default the deadline of a play.
        """
        if "\n" in command:
            raise ValueError("one line at a time")
        limit = self._deadlines.play if seconds is None else seconds
        hint = "If it needs longer: run(command, seconds=...)."
        record = self._ask(f"run {command}", f"'{command}'", limit, hint)
        if not isinstance(record, Ran):
            raise self.session.protocol_fault("The guest answered something else.")
        self.check_quiet()
        return record


def _named(fault: KernelFault, what: str, seconds: float, hint: str) -> KernelFault:
    """Return the fault with a sentence that says what did not end within how many seconds."""
    late = f"{what} did not end within {seconds:g} s"
    if isinstance(fault, TestHung):
        return TestHung(f"{late}; the guest still answers.", hint or fault.hint)
    if isinstance(fault, KernelHung):
        return KernelHung(f"{late}. {fault.sentence}", fault.hint)
    return fault
