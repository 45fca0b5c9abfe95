# SPDX-License-Identifier: GPL-2.0-only
"""The items that a session has besides those of its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from harness.plugin import items, traced
from harness.plugin.batches import Batches
from harness.plugin.items import VerdictItem
from harness.plugin.options import PARENT
from harness.plugin.selection import Selection
from harness.plugin.traced import Traced, TracedItem


@dataclass(frozen=True)
class Chosen:
    """What the command line asks for."""

    plays: Sequence[items.Cell]
    traced: Sequence[Traced]

    def __bool__(self) -> bool:
        return bool(self.plays or self.traced)


def chosen(selection: Selection, ids: Sequence[str]) -> Chosen:
    """
    Return what IDs name or, without any, the options; raises ConfigError.

    With tracers alone, nothing is played under a variant.
    """
    selection.check()
    of_tracers = [text for text in ids if traced.is_id(text)]
    others = [text for text in ids if text not in of_tracers]
    return Chosen(
        items.cells(selection, others) if others or (not ids and selection.has_plays) else [],
        traced.cells(selection, of_tracers)
        if of_tracers or (not ids and selection.tracers())
        else [],
    )


class Collected:
    """Adds the items to a session."""

    def __init__(self, selection: Selection, chosen: Chosen) -> None:
        self.chosen = chosen
        self.plays = Batches[VerdictItem, Any, Any](lambda due: items.played(selection, due))
        self.traced = Batches[TracedItem, Any, Any](traced.Players(selection).play)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        collector = _Collector.from_parent(session, name=PARENT, nodeid=PARENT, collected=self)
        collected = collector.collect()
        items += collected
        # The terminal reporter counts items from collection reports.
        report = pytest.CollectReport(collector.nodeid, "passed", None, [*collected])
        config.hook.pytest_collectreport(report=report)


class _Collector(pytest.Collector):
    """The parent of all items."""

    def __init__(self, *, collected: Collected, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._collected = collected

    def collect(self) -> Sequence[pytest.Item]:
        return [*self._plays(), *self._traced()]

    def _plays(self) -> Iterator[pytest.Item]:
        batches = self._collected.plays
        for kernel, play in self._collected.chosen.plays:
            name = VerdictItem.label((kernel, play))
            yield VerdictItem.from_parent(
                self, name=name, kernel=kernel, play=play, batches=batches
            )

    def _traced(self) -> Iterator[pytest.Item]:
        batches = self._collected.traced
        for one in self._collected.chosen.traced:
            yield TracedItem.from_parent(self, name=one.label, traced=one, batches=batches)
