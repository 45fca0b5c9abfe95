# SPDX-License-Identifier: GPL-2.0-only
"""
Plays cases under tracers, each tracer in a guest of its own.

A case during which the kernel dies is as it is; the rest is played in another guest.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import Exit, InfrastructureError, KernelFault
from harness.guest.records import Refusal
from harness.inspect.guest import Guest, booted
from harness.kernel.kernel import Bootable, numbers
from harness.model.case import Case
from harness.model.observation import Look, Observation
from harness.modules.build import Modules
from harness.prototypes import source
from harness.prototypes.btf import Btf, with_first_header
from harness.steps import progress
from harness.tracers.cell import Cell, Seen, Status, changed, passed
from harness.tracers.tracer import Kind, Tracer
from harness.tracing.events import Events
from harness.tracing.function import Attachment, Function, function, mount
from harness.tracing.functions import Functions
from harness.tracing.programs import MODULE, Programs
from harness.tracing.redirect import Redirect

# The kernel may die so often under one tracer before the rest of its cells is given up.
FAULTS_MAX = 5
# Further guests after a failure of this machine's own tools.
RETRIES = 1


@dataclass(frozen=True)
class Tracing:
    """All cells of one kernel."""

    spec: str
    release: str
    # In the order of tracers, then of cases.
    cells: tuple[Cell, ...]
    planned: int
    # What the kernel did wrong besides, and what kept cells from being played, in sentences.
    kernel_errors: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def differing(self) -> list[Cell]:
        """The cells that are not as predicted."""
        return [cell for cell in self.cells if cell.status is Status.DIFFERS]

    @property
    def exit_status(self) -> Exit:
        """As everywhere: what differs comes before what is missing."""
        if self.differing or self.kernel_errors:
            return Exit.DIFFERS
        missing = self.errors or len(self.cells) < self.planned
        return Exit.INFRASTRUCTURE if missing else Exit.AGREES


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


def run(
    kernel: Bootable, modules: Modules, tracers: Sequence[Tracer], cases: Sequence[Case]
) -> Tracing:
    """Play each case under each tracer; the modules are `traced` ones."""
    cells: list[Cell] = []
    kernel_errors: list[str] = []
    errors: list[str] = []
    planned = len(tracers) * len(cases)
    numbered: Mapping[str, int] | None = None
    for tracer in tracers:
        progress(f"tracing on {kernel.spec}: {tracer.name}", len(cells), planned)
        one = _OneTracer(kernel, modules, tracer, numbered)
        cells += one.cells(cases)
        kernel_errors += one.kernel_errors
        errors += one.errors
        numbered = one.numbered
    progress(f"tracing on {kernel.spec}", planned, planned)
    return Tracing(
        kernel.spec,
        kernel.release,
        tuple(cells),
        planned,
        tuple(kernel_errors),
        tuple(errors),
    )


class _OneTracer:
    """One tracer, and the guests that it takes."""

    def __init__(
        self,
        kernel: Bootable,
        modules: Modules,
        tracer: Tracer,
        numbered: Mapping[str, int] | None,
    ) -> None:
        self._kernel = kernel
        self._modules = modules
        self._tracer = tracer
        # The functions of the modules by name, with their numbers in BTF; None: not known yet.
        self.numbered = numbered
        self.kernel_errors: list[str] = []
        self.errors: list[str] = []
        self._found: dict[str, Cell] = {}
        # The case that is being played, None before and after.
        self._playing: Case | None = None

    def cells(self, cases: Sequence[Case]) -> list[Cell]:
        """Return the cell of each case that could be played."""
        faults = tries = patched = 0
        while rest := [case for case in cases if case.name not in self._found]:
            try:
                self._boot(rest)
            except InfrastructureError as error:
                tries += 1
                if tries > RETRIES:
                    self.errors.append(f"{self._tracer.name}: {error}")
                    break
            except KernelFault as fault:
                if self._playing:
                    self._found[self._playing.name] = self._died(self._playing, str(fault))
                    faults += 1
                elif patched < RETRIES:
                    # Text was patched, which an emulator may have got wrong.
                    patched += 1
                else:
                    self.kernel_errors.append(f"{self._tracer.name}: {fault}")
                    break
                if faults > FAULTS_MAX:
                    self.errors.append(f"The kernel died {faults} times under {self._tracer.name}.")
                    break
        return [self._found[case.name] for case in cases if case.name in self._found]

    def _died(self, case: Case, error: str) -> Cell:
        return Cell(self._tracer.name, case, None, Seen(), errors=(error,))

    def _boot(self, cases: Sequence[Case]) -> None:
        """Attach the tracer to the functions of all cases, play them, and judge them."""
        self._playing = None
        with booted(self._kernel, self._modules) as guest:
            mount(guest)
            if self.numbered is None:
                self.numbered = _numbered(guest)
            functions = [function(case, self.numbered) for case in cases]
            attached = attachment(self._tracer)
            refused = attached.attach(guest, functions)
            observed = list(self._play(guest, cases))
            values = attached.values(guest, functions, observed)
            guest.check()
        for traced, why, saw, read in zip(functions, refused, observed, values, strict=True):
            if saw:
                cell = self._judged(traced, Seen(() if why else read, why), saw)
                self._found[traced.case.name] = cell

    def _play(self, guest: Guest, cases: Sequence[Case]) -> Iterator[Observation | None]:
        """Yield what the guest saw of each case, None for one that it refused."""
        self._playing = cases[0]
        records = guest.play_lines([f"% none 0 {case.name}" for case in cases])
        for at, record in enumerate(records, 1):
            if isinstance(record, Observation):
                yield record
            else:
                assert isinstance(record, Refusal)
                why = f"The guest did not play it: {record}"
                self._found[self._playing.name] = self._died(self._playing, why)
                yield None
            self._playing = cases[at] if at < len(cases) else cases[-1]
        self._playing = None

    def _judged(self, traced: Function, seen: Seen, saw: Observation) -> Cell:
        case, release = traced.case, numbers(self._kernel.release)[:2]
        has = self._kernel.has
        predicted = self._tracer.predict((release[0], release[1]), has, traced.traced)
        return Cell(
            self._tracer.name,
            case,
            predicted,
            seen,
            tuple(passed(case, saw)),
            changed(case, saw),
            tuple(saw.arguments.get(i, Look()).seen or b"" for i in range(case.named)),
            called=saw.counts.target == 1,
        )


def _numbered(guest: Guest) -> dict[str, int]:
    """Return the functions of the modules by name, with their numbers in BTF."""
    said = guest.run(f"/bin/busybox base64 -w 0 /sys/kernel/btf/{MODULE}")
    if said.status:
        return {}
    base = source.base(source.of_kernel(guest.kernel))
    own = Btf(with_first_header(base64.b64decode(said.output)), base)
    return {own.name(one): one for one in own.functions}
