# SPDX-License-Identifier: GPL-2.0-only
"""Items that are played together with others, in one boot, when the first of them runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from harness.errors import ConfigError, HarnessError
from harness.plugin.errors import end_session
from harness.printable import line, shown

# The result of a batch, and the outcome of one item.
Whole = TypeVar("Whole")
Part = TypeVar("Part")


class VerdictFailed(Exception):
    """An item's outcome that is not as predicted."""


@dataclass(frozen=True)
class Answer(Generic[Whole, Part]):
    """The outcome of one item's play, and the result that it is a part of."""

    result: Whole | HarnessError | None
    # None if it was not played.
    outcome: Part | None
    # The error in the harness itself because of which it was not played.
    fault: BaseException | None = None


class BatchItem(pytest.Item, Generic[Whole, Part]):
    """An item that is played together with all others of its type and batch."""

    def __init__(
        self,
        *,
        batch: Hashable,
        words: str,
        batches: Batches[Any, Whole, Part],
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.batch = batch
        self._words = words
        self._batches = batches

    def setup(self) -> None:
        """Run the play; an error in the harness is reported as an error, not as a failure."""
        self._answer = self._batches.take(self)
        if self._answer.fault and self._answer.outcome is None:
            raise self._answer.fault

    def runtest(self) -> None:
        result = self._answer.result
        assert result
        if isinstance(result, HarnessError):
            raise VerdictFailed(str(result))
        self.judge(result, self._answer.outcome)

    @abstractmethod
    def judge(self, result: Whole, outcome: Part | None) -> None:
        """Raise VerdictFailed unless all is as predicted; skip what nothing can be said of."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, VerdictFailed):
            return shown(str(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, line(self._words)


Each = TypeVar("Each", bound=BatchItem[Any, Any])


class Batches(Generic[Each, Whole, Part]):
    """The batches of a session; `play` plays some items of one batch."""

    def __init__(self, play: Callable[[Sequence[Each]], Sequence[Answer[Whole, Part]]]) -> None:
        self._play = play
        self._answers: dict[Each, Answer[Whole, Part]] = {}
        # Those that have had their first boot.
        self._played: set[Hashable] = set()

    def take(self, item: Each) -> Answer[Whole, Part]:
        """Return how the item's play ended; an item that runs again is played again."""
        if item not in self._answers:
            due = self._due(item)
            self._answers.update(zip(due, self._answered(due), strict=True))
        return self._answers.pop(item)

    def _due(self, item: Each) -> list[Each]:
        """Return the items to play in this boot: all of the batch at first, later only `item`."""
        if item.batch in self._played:
            return [item]
        self._played.add(item.batch)
        items = (one for one in item.session.items if isinstance(one, type(item)))
        return [one for one in items if one.batch == item.batch]

    def _answered(self, items: Sequence[Each]) -> Sequence[Answer[Whole, Part]]:
        try:
            return self._play(items)
        except ConfigError as error:
            end_session(error)
        except HarnessError as error:
            return [Answer(error, None)] * len(items)
        except Exception as error:
            return [Answer(None, None, error)] * len(items)
