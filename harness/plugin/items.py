# SPDX-License-Identifier: GPL-2.0-only
"""One pytest item for each kernel, variant and case; a kernel's are played in one boot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ConfigError, HarnessError
from harness.plugin.errors import end_session
from harness.plugin.options import PARENT
from harness.plugin.selection import Selection
from harness.printable import line, shown
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
            f"An ID is {PARENT}::KERNEL::VARIANT::CASE; options choose more than one.",
        )
    kernel, variant, case = words
    selection.check_kernels([kernel])
    catalog = selection.catalog
    for play in plays(catalog.select_variants([variant]), catalog.select_cases([case])):
        yield kernel, play


def cells(selection: Selection, ids: Sequence[str]) -> list[Cell]:
    """Return what the command line asks for; raises ConfigError for what does not exist."""
    selection.check()
    if ids:
        chosen = [cell for text in ids for cell in _named(text, selection)]
    else:
        plan = plays(selection.variants(), selection.cases())
        chosen = [(kernel, play) for kernel in selection.kernels for play in plan]
    return list(dict.fromkeys(chosen))


@dataclass(frozen=True)
class _Answer:
    """The outcome of one item's play."""

    result: Result | HarnessError | None
    # None if it was not played.
    outcome: Outcome | None
    # The error in the harness itself because of which it was not played.
    fault: BaseException | None = None


class Items:
    """The items of a session, and how their plays ended."""

    def __init__(self, selection: Selection, cells: Sequence[Cell]) -> None:
        self._selection = selection
        self.cells = cells
        self._answers: dict[VerdictItem, _Answer] = {}
        # The specs of the kernels that have had their first boot.
        self._played: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        collector = _Collector.from_parent(session, name=PARENT, nodeid=PARENT, items=self)
        collected = collector.collect()
        items += collected
        # The terminal reporter counts items from collection reports.
        report = pytest.CollectReport(collector.nodeid, "passed", None, [*collected])
        config.hook.pytest_collectreport(report=report)

    def take(self, item: VerdictItem) -> _Answer:
        """Return how the item's play ended; an item that runs again is played again."""
        if item not in self._answers:
            self._play(item.kernel, self._due(item))
        return self._answers.pop(item)

    def _due(self, item: VerdictItem) -> list[VerdictItem]:
        """Return the items to play in this boot: all of the kernel at first, later only `item`."""
        if item.kernel in self._played:
            return [item]
        self._played.add(item.kernel)
        items = (one for one in item.session.items if isinstance(one, VerdictItem))
        return [one for one in items if one.kernel == item.kernel]

    def _play(self, kernel: str, items: Sequence[VerdictItem]) -> None:

        selection = self._selection
        plan = [item.play for item in items]
        fault: BaseException | None = None
        try:
            target = job.Target(kernel, selection.options)
            result = job.judge(target, selection.catalog, plan, repro.run)
        except ConfigError as error:
            end_session(error)
        except Broken as broken:
            result, fault = broken.result, broken.__cause__
        except HarnessError as error:
            self._answers.update((item, _Answer(error, None)) for item in items)
            return
        except Exception as error:
            self._answers.update((item, _Answer(None, None, error)) for item in items)
            return
        outcomes = {
            (outcome.play.variant.name, outcome.play.case.name): outcome
            for outcome in result.outcomes
        }
        for item in items:
            cell = (item.play.variant.name, item.play.case.name)
            self._answers[item] = _Answer(result, outcomes.get(cell), fault)


class VerdictFailed(Exception):
    """A play that did not end as predicted."""


class VerdictItem(pytest.Item):
    """An item for one kernel x variant x case."""

    def __init__(self, *, kernel: str, play: Play, items: Items, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.kernel = kernel
        self.play = play
        self._items = items

    def setup(self) -> None:
        """Run the play; an error in the harness is reported as an error, not as a failure."""
        self._answer = self._items.take(self)
        if self._answer.fault and self._answer.outcome is None:
            raise self._answer.fault

    def runtest(self) -> None:

        result, outcome = self._answer.result, self._answer.outcome
        assert result
        if isinstance(result, HarnessError):
            raise VerdictFailed(str(result))
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

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, VerdictFailed):
            return shown(str(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:

        return self.path, None, line(f"{self.kernel} {self.play}")


class _Collector(pytest.Collector):
    """The parent of all verdict items."""

    def __init__(self, *, items: Items, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._items = items

    def collect(self) -> Sequence[pytest.Item]:

        return [
            VerdictItem.from_parent(
                self,
                name=line(f"{kernel}::{play.variant.name}::{play.case.name}"),
                kernel=kernel,
                play=play,
                items=self._items,
            )
            for kernel, play in self._items.cells
        ]
