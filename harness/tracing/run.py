# SPDX-License-Identifier: GPL-2.0-only
"""
Plays cases under tracers, each tracer in a guest of its own.

A case during which the kernel dies or complains is not played again; the rest is played in
another guest.  What goes wrong while a tracer is attached is tried once more, and told.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from harness.errors import Exit, HarnessError, InfrastructureError, KernelFault, is_foreseen
from harness.guest.records import LINE_SHOWN, Record, Refusal
from harness.inspect.guest import Guest, booted
from harness.kernel.kernel import Bootable
from harness.model.case import Case
from harness.model.observation import Observation
from harness.model.policy import Variant
from harness.modules.build import Modules
from harness.prototypes.probed import lacking
from harness.run.batch import FAULTS_MAX, RETRIES, Tries
from harness.run.job import without_functions
from harness.run.result import Account, KernelError, ended
from harness.steps import progress
from harness.tracers.cell import Cell, Seen, Status
from harness.tracers.tracer import Kind, Tracer
from harness.tracing import witness
from harness.tracing.described import Described, described, function
from harness.tracing.events import Events
from harness.tracing.function import Attachment, Function, mount
from harness.tracing.functions import Functions
from harness.tracing.programs import Programs
from harness.tracing.redirect import Redirect
from harness.tracing.trial import Trial
from harness.tracing.witness import Sighted
from harness.vm.machine import DEFAULT_CONFIG


@dataclass(frozen=True)
class Tracing:
    """All cells of one kernel."""

    spec: str
    release: str
    # In the order of tracers, then of cases.
    cells: tuple[Cell, ...]
    planned: int
    # Why cases on functions of the kernel's own were left out, by name.
    lacking: Mapping[str, str] = field(default_factory=dict)
    # What the kernel did wrong besides, and what kept cells from being played, in sentences.
    kernel_errors: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    # After what cells were played again.
    retried: tuple[str, ...] = ()
    boots: int = 0
    # Whether a fault of this program's own ended the run.
    broken: bool = False
    # As jprobe-harness log takes it.
    logs: str = "last"

    @property
    def differing(self) -> list[Cell]:
        """The cells that are not as predicted."""
        return [cell for cell in self.cells if cell.status is Status.DIFFERS]

    @property
    def exit_status(self) -> Exit:
        """As everywhere; a kernel that has the function of no case is not measured."""
        account = Account(
            kernel_errors=tuple(KernelError("tracer", text) for text in self.kernel_errors),
            harness_errors=self.errors,
            broken=self.broken,
        )
        differing = len(self.differing)
        found = account.status(planned=self.planned, judged=len(self.cells), differing=differing)
        return Exit.INFRASTRUCTURE if found is Exit.AGREES and not self.planned else found


def attachment(tracer: Tracer) -> Attachment:
    """Return what attaches a tracer."""
    match tracer.kind:
        case Kind.EVENT:
            return Events(tracer)
        case Kind.FUNCTIONS:
            return Functions(tracer)
        case Kind.PROGRAM:
            return Programs(tracer)
        case Kind.REDIRECT:
            return Redirect()


def check(kernels: Sequence[Bootable], cases: Sequence[Case]) -> None:
    """Raise ConfigError where no kernel has the function of any case."""
    missing = [lacking(kernel, cases) for kernel in kernels]
    if all(case.name in one for one in missing for case in cases):
        raise without_functions(kernels[0].spec, missing[0])


def run(
    kernel: Bootable,
    modules: Modules,
    tracers: Sequence[Tracer],
    cases: Sequence[Case],
    variants: Sequence[Variant] = (),
    *,
    watched: bool = False,
) -> Tracing:
    """
    Play each case under each tracer, beside a jprobe under each variant if there are any.

    The modules are `traced` ones.  If they are `watched`, GDB sees what functions are called with.
    Raises one of result.ENDED with the cells so far.
    """
    missing = lacking(kernel, cases)
    here = [case for case in cases if case.name not in missing]
    beside: Sequence[Variant | None] = variants or [None]
    plan = [
        (trial, [case for case in here if trial.takes(case)])
        for tracer, variant in itertools.product(tracers, beside)
        for trial in [Trial(kernel, modules, tracer, variant, watched)]
    ]
    planned = sum(len(chosen) for _, chosen in plan)
    result = Tracing(kernel.spec, kernel.release, (), planned, missing)
    what = f"tracing on {kernel.spec}"
    # The first tracer may take none of them.
    real = {case.real.function for case in here if case.real}
    known: Mapping[str, Described] | None = None
    playing: _OneTracer | None = None
    try:
        for trial, chosen in plan:
            progress(what, len(result.cells), planned)
            playing = one = _OneTracer(trial, chosen, real, known)
            one.play()
            result, playing, known = _with(result, one), None, one.described
            if one.hopeless:
                break
    except (KeyboardInterrupt, Exception) as error:
        if is_foreseen(error):
            raise
        if playing:
            result = _with(result, playing)
        result = replace(result, broken=not isinstance(error, KeyboardInterrupt))
        items = f"cells on {kernel.spec}"
        raise ended(error, result, len(result.cells), planned, items) from error
    progress(what, planned, planned)
    return result


def _with(result: Tracing, one: _OneTracer) -> Tracing:
    """Return the result with what came of one tracer."""
    return replace(
        result,
        cells=(*result.cells, *one.cells),
        kernel_errors=(*result.kernel_errors, *one.kernel_errors),
        errors=(*result.errors, *one.errors),
        retried=(*result.retried, *one.retried),
        boots=result.boots + one.boots,
    )


class _OneTracer:
    """One tracer, and the guests that it takes."""

    def __init__(
        self,
        trial: Trial,
        cases: Sequence[Case],
        real: Collection[str],
        known: Mapping[str, Described] | None,
    ) -> None:
        self._trial = trial
        self._cases = cases
        # The functions of the kernel's own that any tracer of the run is put on.
        self._real = real
        # What BTF says of functions, by name; None: not known yet.
        self.described = known
        self.kernel_errors: list[str] = []
        self.boots = 0
        # Whether no guest can be had for another tracer either.
        self.hopeless = False
        self._tries = Tries()
        self._found: dict[str, Cell] = {}
        # How many guests have said what they are.
        self._introduced = 0
        # The case that is being played, and those of all plays in this guest, by their numbers.
        self._playing: Case | None = None
        self._plays: dict[int, Case] = {}

    @property
    def cells(self) -> list[Cell]:
        """The cells of the cases that were played."""
        return [self._found[one.name] for one in self._cases if one.name in self._found]

    @property
    def errors(self) -> list[str]:
        """What kept cells from being played."""
        return self._named(self._tries.errors)

    @property
    def retried(self) -> list[str]:
        """After what cells were played again."""
        return self._named(self._tries.retried)

    def _named(self, sentences: Sequence[str]) -> list[str]:
        return [f"{self._trial.tracer.name}: {sentence}" for sentence in sentences]

    def play(self) -> None:
        """Have each case played, as far as the kernel and this machine let it."""
        faults = patched = 0
        while rest := [case for case in self._cases if case.name not in self._found]:
            if faults == FAULTS_MAX:
                self._tries.errors.append(f"The kernel died {faults} times; the rest is left.")
                return
            before, introduced = dict(self._found), self._introduced
            self._playing, self._plays = None, {}
            try:
                self._boot(rest)
            except InfrastructureError as error:
                if not self._tries.again(error):
                    self.hopeless = introduced == self._introduced
                    return
            except KernelFault as fault:
                if self._playing:
                    self._found[self._playing.name] = self._trial.died(self._playing, str(fault))
                    faults += 1
                elif introduced < self._introduced and patched < RETRIES:
                    # Text was patched, which an emulator may have got wrong.
                    patched += 1
                    self._tries.retried.append(fault.sentence)
                    self._found = before
                else:
                    self.kernel_errors += self._named([str(fault)])
                    self.hopeless = introduced == self._introduced
                    return

    def _boot(self, cases: Sequence[Case]) -> None:
        """Play cases in one guest."""
        self.boots += 1
        config = witness.config() if self._trial.watched else DEFAULT_CONFIG
        with booted(self._trial.kernel, self._trial.modules, config) as guest:
            self._introduced += 1
            try:
                self._trace_all(guest, cases)
                # The console is later than the records; it has said all at the guest's end.
                guest.session.power_off()
                guest.check_quiet()
            except KernelFault:
                self._playing = self._playing or self._complained(guest)
                raise

    def _trace_all(self, guest: Guest, cases: Sequence[Case]) -> None:
        mount(guest)
        if self.described is None:
            self.described = described(guest, self._real)
        functions = [function(case, self.described) for case in cases]
        attached = attachment(self._trial.tracer)
        for group in _groups(functions, attached.forgets):
            self._trace(guest, group, attached)

    def _complained(self, guest: Guest) -> Case | None:
        """Return the first of the cases during whose plays the kernel complained, if any."""
        with suppress(HarnessError):
            guest.session.power_off()
        pinned = (splat.seq for splat in guest.session.console.watcher.splats)
        return next((self._plays[seq] for seq in pinned if seq in self._plays), None)

    def _trace(self, guest: Guest, functions: Sequence[Function], attached: Attachment) -> None:
        """Attach the tracer to functions, play their cases, judge them, and detach it."""
        if self._trial.variant:
            # The jprobes are there before the tracer.
            self._play(guest, functions)
        refused = attached.attach(guest, functions)
        played = self._play(guest, functions, watched=self._trial.watched)
        values = attached.values(guest, functions, [saw for saw, _ in played])
        attached.detach(guest)
        guest.check()
        for at, (traced, (saw, sighted)) in enumerate(zip(functions, played, strict=True)):
            if saw:
                seen = Seen(() if refused[at] else values[at], refused[at])
                cell = self._trial.judged(traced, seen, saw)
                if self._trial.watched:
                    cell = witness.compared(cell, sighted, traced)
                self._found[traced.case.name] = cell

    def _play(
        self, guest: Guest, functions: Sequence[Function], *, watched: bool = False
    ) -> list[tuple[Observation | None, Sighted | None]]:
        """Return what the guest, and GDB, saw of each call; None for one that was refused."""
        found: list[tuple[Observation | None, Sighted | None]] = []
        lines = [self._trial.line(one.case) for one in functions]
        records: Iterator[tuple[Record, Sighted | None]]
        if watched:
            records = witness.watched(guest, functions, lines)
        else:
            records = ((record, None) for record in guest.play_lines(lines))
        self._playing = functions[0].case
        before = guest.session.played
        for traced, (record, sighted) in zip(functions, records, strict=True):
            at = len(found) + 1
            self._plays[before + at] = traced.case
            if not isinstance(record, Observation | Refusal) or record.seq - before != at:
                raise guest.session.protocol_fault(f"The guest's record {at} did not come.")
            why = _unplayed(record, lines[at - 1])
            if why or isinstance(record, Refusal):
                self._found[traced.case.name] = self._trial.died(traced.case, why)
                found.append((None, None))
            else:
                found.append((record, sighted))
            self._playing = functions[min(len(found), len(functions) - 1)].case
        self._playing = None
        return found


def _groups(functions: Sequence[Function], alone: bool) -> Iterator[Sequence[Function]]:
    """Yield the functions of our own, and the kernel's, together or each `alone`."""
    if own := [one for one in functions if not one.case.real]:
        yield own
    others = [one for one in functions if one.case.real]
    if alone:
        yield from ([one] for one in others)
    elif others:
        yield others


def _unplayed(record: Observation | Refusal, line: str) -> str:
    """Return why a line was not played, "" if it was."""
    if isinstance(record, Refusal):
        return f"The guest did not play it: {record}"
    played = record.line == line[:LINE_SHOWN]
    return "" if played else f"The guest played '{record.line}'."
