# SPDX-License-Identifier: GPL-2.0-only
"""One pytest item for each kernel, tracer and case; a tracer's are played in one guest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from harness.kernel.kernel import Kernel
from harness.model.case import Case
from harness.modules.build import Modules
from harness.plugin.batches import Answer, BatchItem, VerdictFailed
from harness.plugin.selection import Selection
from harness.printable import line
from harness.run import job
from harness.run.result import Broken
from harness.tracers.catalog import pairs, select, tracers
from harness.tracers.cell import Cell, Status
from harness.tracers.tracer import Tracer
from harness.tracing import run as tracing
from harness.tracing.run import Tracing

# What an item's ID ends with.
_NAME = re.compile(r"([^:]+)\[([^:]+)\]")


@dataclass(frozen=True)
class Traced:
    """A case under a tracer, on a kernel that its spec names."""

    kernel: str
    tracer: Tracer
    case: Case

    @property
    def label(self) -> str:
        """The end of its ID."""
        return line(f"{self.kernel}::{self.tracer.name}[{self.case.name}]")


def is_id(text: str) -> bool:
    """Whether an ID is that of a tracer's item: a pattern of cases ends with a bracket, too."""
    match = _NAME.fullmatch(text.rpartition("::")[2])
    return match is not None and match[1] in tracers()


def _chosen(
    kernels: Sequence[str], tracers: Sequence[Tracer], cases: Sequence[Case]
) -> list[Traced]:
    found = pairs(tracers, cases)
    return [Traced(kernel, *pair) for kernel in kernels for pair in found]


def _named(text: str, selection: Selection) -> list[Traced]:
    kernel, _, name = text.partition("::")[2].rpartition("::")
    match = _NAME.fullmatch(name)
    assert match
    selection.check_kernels([kernel])
    return _chosen([kernel], select([match[1]]), selection.catalog.select_cases([match[2]]))


def cells(selection: Selection, ids: Sequence[str]) -> list[Traced]:
    """Return what IDs name or, without any, the options; raises ConfigError."""
    if ids:
        chosen = [one for text in ids for one in _named(text, selection)]
    else:
        chosen = _chosen(selection.kernels, selection.tracers(), selection.cases())
    return list({one.label: one for one in chosen}.values())


class TracedItem(BatchItem[Tracing, Cell]):
    """An item for one kernel x tracer x case."""

    def __init__(self, *, traced: Traced, **arguments: Any) -> None:
        kernel, tracer, case = traced.kernel, traced.tracer, traced.case
        words = f"{kernel} {tracer.name} x {case.name}"
        super().__init__(batch=(kernel, tracer.name), words=words, **arguments)
        self.traced = traced

    def judge(self, result: Tracing, outcome: Cell | None) -> None:
        tracer, what = self.traced.tracer, f"{self.traced.tracer.name} x {self.traced.case.name}"
        if result.kernel_errors:
            # It belongs to no single call, so none of them passes.
            raise VerdictFailed("\n".join(result.kernel_errors))
        if outcome is None and (why := result.lacking.get(self.traced.case.name)):
            pytest.skip(f"{self.traced.kernel} has nothing to play it on: {why}")
        if outcome is None:
            raise VerdictFailed(f"{what} was not played. {' '.join(result.errors)}")
        if outcome.status is Status.UNPREDICTED:
            newest = ".".join(map(str, max(tracer.checked)))
            pytest.skip(
                f"not predicted: the kernel is newer than v{newest}, the last that the rules of"
                f" {tracer.name} were held against"
            )
        if outcome.status is Status.DIFFERS:
            lines = "\n".join(f"  {sentence}" for sentence in outcome.mismatches)
            raise VerdictFailed(f"{what} on {self.traced.kernel} is not as predicted:\n{lines}")


class Players:
    """Plays the items of one tracer on one kernel; a kernel is prepared once."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._prepared: dict[str, tuple[Kernel, Modules]] = {}

    def play(self, items: Sequence[TracedItem]) -> list[Answer[Tracing, Cell]]:
        """Play the items in one guest, and in others where the kernel dies."""
        selection, one = self._selection, items[0].traced
        if one.kernel not in self._prepared:
            self._prepared[one.kernel] = job.prepare(
                one.kernel, selection.catalog, options=selection.options, traced=True
            )
        kernel, built = self._prepared[one.kernel]
        fault: BaseException | None = None
        try:
            found = tracing.run(kernel, built, [one.tracer], [item.traced.case for item in items])
        except Broken as broken:
            found, fault = broken.result, broken.__cause__
        cells = {cell.case.name: cell for cell in found.cells}
        return [Answer(found, cells.get(item.traced.case.name), fault) for item in items]
