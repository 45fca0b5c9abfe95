# SPDX-License-Identifier: GPL-2.0-only
"""
A part of a nightly run's work, and what came of it.

These are plain data, to be sent between processes and machines as JSON.
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import Any

import msgspec

from harness.guest.splat import without_numbers
from harness.model.policy import Policy
from harness.model.predict import described
from harness.tracers.cell import Status
from harness.tracers.reading import Read


class UnitKind(enum.Enum):
    """What a unit does: judges cells, draws signatures, measures costs, surveys, or traces."""

    CELLS = "cells"
    FUZZ = "fuzz"
    COST = "cost"
    SURVEY = "survey"
    TRACERS = "tracers"


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel with what a unit needs of it; files are named by the SHA-256 of their content."""

    spec: str
    release: str
    version: str
    # The harness's keys of the kernel, and of the test modules; empty without any.
    key: str
    modules_key: str
    engine: str
    jprobes: str
    own_policy: Policy | None
    # Variables that make was given, as NAME=VALUE.
    make: list[str] = []
    # The digest of each file, by path.
    files: dict[str, str]


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """Work that is done in one process, on one kernel."""

    kernel: str
    compiler: str
    kind: UnitKind
    # From 1.
    repetition: int = 1
    variants: list[str]
    # The cases to play, and the folders with the user's own cases.
    cases: list[str] = []
    case_dirs: list[str] = []
    # The tracers to play them under.
    tracers: list[str] = []
    # Kconfig fragments of a source tree.
    kconfig: list[str] = []
    # NAME=VALUE for make.
    make: list[str] = []
    # The seed and the number of random signatures.
    seed: int = 0
    count: int = 0
    # By how many percent a hit may cost more than in the accepted run.
    growth: float = 0
    # The images that it runs on; if empty, they are fetched and built where it runs.
    bundles: list[Bundle] = []
    # How many seconds it may take, builds included.
    deadline: float

    @property
    def name(self) -> str:
        """Return its name, by which it is found in another nightly run."""
        return f"{self.kernel} {self.compiler} {self.kind.value} {self.repetition}"


class UnitEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel and the tools that took part in a unit; empty where one did not."""

    release: str
    # The version of the package or tree.
    version: str
    # The harness's key of the kernel, and its linker's build ID.
    key: str
    build_id: str = ""
    engine: str
    compiler: str
    qemu: str
    harness: str


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of the stack at the hit; all numbers are bytes from SP."""

    # Start, end and name of each part.
    parts: list[tuple[int, int, str]]
    # Up to here it was saved; -1 if the handler was skipped, None if it is not known.
    saved: int | None
    # Where that lies instead, for a policy that saves something else.
    spans: list[tuple[int, int]] | None = None
    # Ranges that the probed function or the caller found wrong.
    corrupt: list[tuple[int, int]]


class CellState(enum.Enum):
    """Whether what was seen of a cell counts."""

    JUDGED = "judged"
    # It was not played as planned.
    UNJUDGED = "no verdict"
    # GDB saw something else than the guest.
    DISPUTED = "witness-disagrees"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a case under a variant."""

    variant: str
    case: str
    state: CellState = CellState.JUDGED
    # Corrupt bytes by class of damage, as Outcome.damage has them.
    classes: dict[str, int] = {}
    agrees: bool
    reasons: list[str]
    # Byte ranges that are corrupt, by the names in harness/measure/expected.py.
    damage: dict[str, list[list[int]]]
    # Bytes in hexadecimal, by place and moment: before, after, seen, predicted.
    looks: dict[str, dict[str, str]] = {}
    picture: Picture | None = None

    @property
    def seen(self) -> str:
        """What was seen in a few words, such as "leak 8"."""
        if self.state is not CellState.JUDGED:
            return str(self.state.value)
        return described(self.classes)


class TracedCell(msgspec.Struct, frozen=True, kw_only=True):
    """What a tracer made of the function of a case."""

    tracer: str
    case: str
    status: Status
    # The error and the kernel's own words; empty where it was not refused.
    refused: str = ""
    # What each argument was read as; empty where it was refused, or where nothing was judged.
    reads: list[Read] = []
    # Byte ranges that the function saw changed, by the names in harness/measure/expected.py.
    damage: dict[str, list[list[int]]] = {}
    # Whether the function ran.
    called: bool = True
    # What is not as predicted.
    reasons: list[str] = []

    @property
    def agrees(self) -> bool:
        """Whether nothing of it is against a prediction."""
        return self.status is not Status.DIFFERS

    @property
    def seen(self) -> str:
        """What was seen in a few words, such as "9 right, 2 another's"."""
        if self.refused:
            return "refused"
        counts = Counter(self.reads)
        words = [f"{counts[read]} {read.value}" for read in Read if counts[read]]
        words += [f"{', '.join(self.damage)} changed"] if self.damage else []
        words += [] if self.called else ["not called"]
        return ", ".join(words) or CellState.UNJUDGED.value


class HitCost(msgspec.Struct, frozen=True, kw_only=True):
    """The cost that a jprobe adds to a call under a variant."""

    variant: str
    # How many instructions, per hit.
    instructions: float
    # How many bytes were saved.
    saved: int


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """One splat of the kernel's, and the cell during which it came."""

    kind: str
    title: str
    # Equal for the same complaint in another boot or kernel.
    fingerprint: str
    text: str
    # The cell during which it came; empty if there was none.
    variant: str = ""
    case: str = ""


class KernelError(msgspec.Struct, frozen=True, kw_only=True):
    """A fault or a complaint of the kernel's that belongs to no cell."""

    # The class of the fault, such as KernelHung, or the kind of the complaint.
    kind: str
    # Equal for the same error in another boot or kernel, however it is worded; empty for one
    # of a store of schema 1 or 2, of which nothing but the text is known.
    fingerprint: str
    text: str

    def same(self, other: KernelError) -> bool:
        """Return whether it is the same error, in another boot or kernel."""
        if self.kind != other.kind:
            return False
        if self.fingerprint and other.fingerprint:
            return self.fingerprint == other.fingerprint
        return without_numbers(self.text) == without_numbers(other.text)


class SurveyedFunction(msgspec.Struct, frozen=True, kw_only=True):
    """A function with arguments on the stack."""

    name: str
    # Empty for one of the image.
    module: str
    # The bytes of its argument area.
    stacked: int
    # As C declares it.
    prototype: str


class SurveyedAggregate(msgspec.Struct, frozen=True, kw_only=True):
    """A type that functions take by reference."""

    type: str
    # In bytes.
    size: int
    # How many parameters have it.
    parameters: int


class SurveyedVariant(msgspec.Struct, frozen=True, kw_only=True):
    """For how many of a kernel's functions a variant means what (harness/measure/at_risk.py)."""

    variant: str
    safe: int
    unsafe: int
    unknown: int
    # Those whose named arguments arrive as they were passed.
    kept: int
    # Those for which damage of a class may come, by class.
    damage: dict[str, int]


class SurveyResult(msgspec.Struct, frozen=True, kw_only=True):
    """A count of a kernel's functions by where their arguments lie."""

    # All with a prototype, and those of each sort; one may be of several.
    functions: int
    in_registers: int
    stacked: int
    by_reference: int
    variadic: int
    unknown: int
    # How many modules were read, and how many were not, by the reason.
    modules: int
    unread: dict[str, int] = {}
    # Bytes on the stack, and the number of functions that take so many; without those with none.
    histogram: list[tuple[int, int]]
    variants: list[SurveyedVariant]
    # The worst of them: the most bytes on the stack first, and the largest first.
    worst: list[SurveyedFunction]
    aggregates: list[SurveyedAggregate]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The results of a unit."""

    unit: str
    kernel: str
    compiler: str
    kind: UnitKind
    repetition: int
    # None if the kernel could not be had or built.
    facts: UnitEnvironment | None = None
    cells: list[Cell] = []
    complaints: list[Complaint] = []
    costs: list[HitCost] = []
    # None but for a survey that was made.
    survey: SurveyResult | None = None
    traced: list[TracedCell] = []
    # How many cells, signatures, costs or surveys were planned.
    planned: int = 0
    played: int = 0
    kernel_errors: list[KernelError] = []
    # Why something is missing through no fault of the kernel's.
    harness_errors: list[str] = []
    # Failures of our own tools after which something was done again.
    retried: list[str] = []
    boots: int = 0
    # Seconds since the epoch.
    started: float
    ended: float
    logs: str = ""

    @property
    def complete(self) -> bool:
        """Whether all was played; random signatures end with the first batch that has a failure."""
        stopped = self.kind is UnitKind.FUZZ and bool(self.cells)
        return (stopped or self.played == self.planned > 0) and not self.harness_errors


def result(unit: Unit, started: float, ended: float, **fields: Any) -> Done:
    """Return the results of a unit that `fields` give."""
    return Done(
        unit=unit.name,
        kernel=unit.kernel,
        compiler=unit.compiler,
        kind=unit.kind,
        repetition=unit.repetition,
        started=started,
        ended=ended,
        **fields,
    )


def again(failed: Done, done: Done) -> Done:
    """
    Return the results of a unit that was done again, as our own tools had failed.

    The kernel's failures in the first attempt are kept, whatever happened in the second.
    """
    stands = {(cell.variant, cell.case): cell for cell in failed.cells if not cell.agrees}
    cells = {(cell.variant, cell.case): cell for cell in done.cells} | stands
    differ = {(one.tracer, one.case): one for one in failed.traced if not one.agrees}
    traced = {(one.tracer, one.case): one for one in done.traced} | differ
    judges = done.kind in (UnitKind.CELLS, UnitKind.TRACERS)
    return msgspec.structs.replace(
        done,
        cells=list(cells.values()),
        traced=list(traced.values()),
        played=max(done.played, len(cells), len(traced)) if judges else done.played,
        complaints=[*failed.complaints, *done.complaints],
        kernel_errors=[*failed.kernel_errors, *done.kernel_errors],
        retried=[*failed.retried, *failed.harness_errors, *done.retried],
    )
