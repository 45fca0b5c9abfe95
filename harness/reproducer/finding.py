# SPDX-License-Identifier: GPL-2.0-only
"""What a BPF program leaves wrong of a case's arguments, on one kernel or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.abi.ctype import VA_LIST
from harness.kernel.kernel import Bootable
from harness.model.case import Case
from harness.tracers.catalog import tracers
from harness.tracers.cell import Cell
from harness.tracers.tracer import Kind, Tracer
from harness.tracing.run import Tracing

# Those that attach.c can attach, as configs/tracers has them.
ATTACHES = ("fentry", "fexit", "fmod-ret")


@dataclass(frozen=True)
class Seen:
    """What one kernel made of it."""

    kernel: Bootable
    cell: Cell


@dataclass(frozen=True)
class Finding:
    """A program on the function of a case, and at least one kernel that leaves it wrong."""

    tracer: Tracer
    # The first kernel that does.
    wrong: Seen
    # All others that were asked for, in that order.
    others: tuple[Seen, ...]

    @property
    def case(self) -> Case:
        return self.wrong.cell.case

    @property
    def name(self) -> str:
        """Tells it apart from others."""
        return f"{self.tracer.name}-{self.case.name}"

    @property
    def attach(self) -> str:
        """One of ATTACHES."""
        return self.tracer.options["attach"]


def is_programmable(cell: Cell) -> bool:
    """Return whether a module and an empty program alone can show a cell."""
    tracer = tracers()[cell.tracer]
    program = tracer.kind is Kind.PROGRAM and tracer.options["attach"] in ATTACHES
    return program and not (cell.case.variadic or VA_LIST in cell.case.types)


def findings(kernels: Sequence[Bootable], found: Sequence[Tracing]) -> Iterator[Finding]:
    """Yield what any of the kernels leaves wrong, one for each tracer and case."""
    played: dict[tuple[str, str], list[Seen]] = {}
    for kernel, tracing in zip(kernels, found, strict=True):
        for cell in tracing.cells:
            # What a jprobe beside the tracer left is no fault of the kernel's.
            if not (cell.variant or cell.case.real):
                played.setdefault((cell.tracer, cell.case.name), []).append(Seen(kernel, cell))
    for (name, _), seen in played.items():
        wrong = next((one for one in seen if one.cell.left), None)
        if wrong and is_programmable(wrong.cell):
            others = tuple(one for one in seen if one is not wrong)
            yield Finding(tracers()[name], wrong, others)
