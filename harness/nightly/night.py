# SPDX-License-Identifier: GPL-2.0-only
"""Works through a nightly run's units, and stores what comes of each as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass

from harness import fault
from harness.errors import ConfigError, Exit
from harness.nightly import compare
from harness.nightly.compare import Regression
from harness.nightly.matrix import Matrix
from harness.nightly.store import Baseline, NightlyRun, Store
from harness.nightly.unit import Done, Unit, result
from harness.nightly.worker import stop, work
from harness.run import logs


@dataclass(frozen=True)
class Report:
    """A nightly run, held against what was accepted."""

    night: NightlyRun
    planned: tuple[Unit, ...]
    results: Sequence[Done]
    # None if no run was accepted yet; then the predictions are what is compared with.
    baseline: Baseline | None
    accepted: Sequence[Done] | None
    # The percentage by which a hit may cost more.
    growth: float
    regressions: Sequence[Regression]

    @property
    def complete(self) -> bool:
        """
        Whether nothing is missing through a failure of our own.

        Cells that were not played through a kernel's fault are regressions.
        """
        done = {one.unit for one in self.results}
        return all(unit.name in done for unit in self.planned) and not any(
            one.harness_errors or (not one.complete and not one.kernel_errors)
            for one in self.results
        )

    @property
    def exit_status(self) -> Exit:
        if self.regressions:
            return Exit.DIFFERS
        if any(fault.is_reported_in(text) for done in self.results for text in done.harness_errors):
            return Exit.OWN_FAULT
        return Exit.AGREES if self.complete else Exit.INFRASTRUCTURE


@dataclass(frozen=True)
class Step:
    """A nightly run that is at work."""

    # The unit that has just ended, or None at the beginning.
    came: Done | None
    planned: int
    # Names of the units that have not ended, in their order.
    left: tuple[str, ...]

    @property
    def done(self) -> int:
        return self.planned - len(self.left)


def resumed(store: Store, matrix: Matrix) -> NightlyRun:
    """The newest nightly run over a matrix, where something of it is left to do."""
    nights = (night for night in store.nights() if night.matrix == matrix.digest)
    newest = next(nights, None)
    if newest and len(store.stored(newest)) < len(matrix.units):
        return newest
    raise ConfigError(
        "Nothing is left of the last nightly run over this matrix, as it is now.",
        "Leave --resume out.",
    )


def spend(
    store: Store,
    night: NightlyRun,
    executor: Executor,
    on_step: Callable[[Step], None] = lambda step: None,
) -> None:
    """Do all of a nightly run's units that are not stored yet."""
    units = store.units(night)
    stored = store.stored(night)
    left = {unit.name: unit for unit in units if unit.name not in stored}
    on_step(Step(None, len(units), tuple(left)))
    futures = {executor.submit(work, unit): unit for unit in left.values()}
    try:
        for future in as_completed(futures):
            came = _came(futures[future], future)
            store.add(night, came)
            logs.hold(came.logs)
            del left[futures[future].name]
            on_step(Step(came, len(units), tuple(left)))
    except BaseException:
        _end(executor)
        raise
    store.finish(night)


def do(executor: Executor, unit: Unit) -> Done:
    """Return the results of a unit that belongs to no nightly run."""
    try:
        return _came(unit, executor.submit(work, unit))
    except BaseException:
        _end(executor)
        raise


def _end(executor: Executor) -> None:
    executor.shutdown(wait=False, cancel_futures=True)
    stop()


def _came(unit: Unit, future: Future[Done]) -> Done:
    """Return a unit's result; if running it failed, one with the error."""
    try:
        return future.result()
    except Exception as error:
        now = time.time()
        text = f"{type(error).__name__}: {error}"
        if not fault.foreseen(error):
            text = str(fault.reported(error))
        return result(unit, now, now, harness_errors=[text])


def report(store: Store, night: NightlyRun, *, looks: bool = False) -> Report:
    """Hold a nightly run, maybe with all bytes, against the accepted one of its name."""
    planned = store.units(night)
    order = {unit.name: index for index, unit in enumerate(planned)}
    results = sorted(store.results(night, looks=looks), key=lambda done: order[done.unit])
    baseline = next(iter(store.baselines(night.name)), None)
    accepted = store.results(store.night(baseline.night)) if baseline else None
    growth = max((unit.growth for unit in planned), default=0)
    found = compare.regressions(results, accepted, growth)
    return Report(night, planned, results, baseline, accepted, growth, found)
