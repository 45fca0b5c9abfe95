# SPDX-License-Identifier: GPL-2.0-only
"""One pytest item for each kernel, variant and case; a kernel's are played in one boot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from harness.errors import ConfigError
from harness.plugin.batches import Answer, BatchItem, VerdictFailed
from harness.plugin.options import PARENT
from harness.plugin.selection import Selection
from harness.printable import line
from harness.run import job, repro
from harness.run.logs import see
from harness.run.plan import Outcome, Play, plays
from harness.run.result import Broken, Result

# A kernel's spec, and what is played on it.
Cell = tuple[str, Play]


def _named(text: str, selection: Selection) -> Iterator[Cell]:
    """Yield the cells that an item's ID names; raises ConfigError if there are none."""
    words = text.partition("::")[2].rsplit("::", 2)
    if len(words) != 3:
        raise ConfigError(
            f"'{text}' is the ID of no item.",
            f"An ID is {PARENT}::KERNEL::VARIANT::CASE or {PARENT}::KERNEL::TRACER[CASE];"
            " options choose more than one.",
        )
    kernel, variant, case = words
    selection.check_kernels([kernel])
    catalog = selection.catalog
    for play in plays(catalog.select_variants([variant]), catalog.select_cases([case])):
        yield kernel, play


def cells(selection: Selection, ids: Sequence[str]) -> list[Cell]:
    """Return what IDs name or, without any, the options; raises ConfigError."""
    if ids:
        chosen = [cell for text in ids for cell in _named(text, selection)]
    else:
        plan = plays(selection.variants(), selection.cases())
        chosen = [(kernel, play) for kernel in selection.kernels for play in plan]
    return list(dict.fromkeys(chosen))


class VerdictItem(BatchItem[Result, Outcome]):
    """An item for one kernel x variant x case."""

    def __init__(self, *, kernel: str, play: Play, **arguments: Any) -> None:
        super().__init__(batch=kernel, words=f"{kernel} {play}", **arguments)
        self.kernel = kernel
        self.play = play

    @staticmethod
    def label(cell: Cell) -> str:
        """Return the end of a cell's ID."""
        kernel, play = cell
        return line(f"{kernel}::{play.variant.name}::{play.case.name}")

    def judge(self, result: Result, outcome: Outcome | None) -> None:
        if result.kernel_errors:
            # It belongs to no single play, so none of them passes.
            text = "\n".join(map(str, result.kernel_errors))
            raise VerdictFailed(f"{text}\n{see(result.logs)}")
        if outcome is None and (why := result.lacking.get(self.play.case.name)):
            pytest.skip(f"{self.kernel} has nothing to play it on: {why}")
        if outcome is None:
            raise VerdictFailed(
                f"{self.play} was not played. {' '.join(result.errors)}\n{see(result.logs)}"
            )
        if not outcome.agrees:
            lines = "\n".join(f"  {reason}" for reason in outcome.reasons)
            raise VerdictFailed(
                f"{self.play} on {self.kernel} is not as predicted:\n{lines}\n{see(result.logs)}"
            )


def played(selection: Selection, items: Sequence[VerdictItem]) -> list[Answer[Result, Outcome]]:
    """Play the items of one kernel."""
    target = job.Target(items[0].kernel, selection.options)
    fault: BaseException | None = None
    try:
        result = job.judge(target, selection.catalog, [item.play for item in items], repro.run)
    except Broken as broken:
        result, fault = broken.result, broken.__cause__
    outcomes = {
        (outcome.play.variant.name, outcome.play.case.name): outcome for outcome in result.outcomes
    }
    return [
        Answer(result, outcomes.get((item.play.variant.name, item.play.case.name)), fault)
        for item in items
    ]
