# SPDX-License-Identifier: GPL-2.0-only
"""A tracer in guests of a kernel: what it is tried on, and how what came of it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.abi.offsets import NONE
from harness.kernel.kernel import Bootable, numbers
from harness.model import driven
from harness.model.case import Case, Real
from harness.model.observation import Look, Observation
from harness.model.policy import Variant
from harness.model.verdict import is_about_arguments
from harness.modules.build import Modules
from harness.run.plan import Play
from harness.run.repro import judge_record
from harness.tracers.cell import Cell, Seen, changed, either, met, passed
from harness.tracers.tracer import Tracer
from harness.tracing.function import Function


def _wrong(real: Real | None, saw: Observation) -> Iterator[str]:
    """Yield a sentence for taint, and where the kernel's own function was not called as due."""
    if saw.new_taint:
        yield f"the kernel gained taint {saw.new_taint:#x}"
    if real is None:
        return
    if saw.moment is None or saw.driven is None or saw.counts.target != 1:
        yield f"{real.action} did not lead to {real.function}()"
    elif saw.driven.effect != real.intact:
        yield f"{real.action} found '{saw.driven.effect}', predicted '{real.intact}'"


@dataclass(frozen=True)
class Trial:
    """A tracer in guests of a kernel, and what is on the functions besides."""

    kernel: Bootable
    modules: Modules
    tracer: Tracer
    # That of a jprobe, None without one.
    variant: Variant | None
    # Whether GDB watches.
    watched: bool = False

    def takes(self, case: Case) -> bool:
        """
        Return whether a case can be played.

        On the kernel's own functions, a jprobe's handler might have the kernel die, and GDB would
        stop at calls of others.
        """
        bare = self.variant is None and not self.watched
        return self.tracer.takes(case) and (bare or not case.real)

    def line(self, case: Case) -> str:
        """Return the line of a plan that plays a case."""
        return Play(self.variant, case).line if self.variant else f"% none 0 {case.name}"

    def died(self, case: Case, error: str) -> Cell:
        """Return the cell of a case that was not judged."""
        name = self.variant.name if self.variant else ""
        return Cell(self.tracer.name, case, None, Seen(), variant=name, errors=(error,))

    def judged(self, function: Function, seen: Seen, saw: Observation) -> Cell:
        """Return the cell of a case that was played."""
        saw = driven.observe(function.case, saw)
        case, release = function.case, numbers(self.kernel.release)[:2]
        predicted = self.tracer.predict((release[0], release[1]), self.kernel.has, function.traced)
        cell = Cell(
            self.tracer.name,
            case,
            predicted,
            seen,
            passed=tuple(passed(case, saw)),
            left=changed(case, saw),
            arrived=tuple(saw.arguments.get(i, Look()).seen or b"" for i in range(case.named)),
            called=saw.counts.target == 1,
            errors=tuple(_wrong(case.real, saw)),
        )
        return self._beside(cell, self.variant, saw) if self.variant else cell

    def _beside(self, cell: Cell, variant: Variant, saw: Observation) -> Cell:
        """Return the cell with what a jprobe on the same function did."""
        outcome = judge_record(Play(variant, cell.case), saw, self.modules)
        verdict = outcome.verdict
        if verdict is None:
            return self.died(cell.case, "; ".join(outcome.reasons))
        left = dict(verdict.prediction.corrupt)
        reasons = outcome.reasons
        redirected = self.tracer.calls_again and not cell.seen.refused
        if redirected:
            # The copies that the jprobe was hit with are not on record.
            for index, one in enumerate(cell.passed):
                if one.at is not None:
                    left[index] = cell.left.get(index, NONE)
        if redirected or (cell.predicted and cell.predicted.corrupts):
            # What becomes of arguments is judged as the tracer's doing.
            reasons = tuple(one for one in reasons if not is_about_arguments(one))
        if cell.predicted and not cell.predicted.called:
            # Without the call there is nothing to judge.
            reasons = ()
        errors = (*cell.errors, *(f"the jprobe beside it: {reason}" for reason in reasons))
        if not self.tracer.before_handlers:
            found = enumerate(cell.passed)
            later = [met(cell.case, one, i, left.get(i, NONE)) for i, one in found]
            if redirected:
                read = zip(later, cell.seen.values)
                later = [either(cell.case, one, i, v) for i, (one, v) in enumerate(read)]
            cell = replace(cell, passed=tuple(later))
        return replace(cell, variant=variant.name, beside=left, errors=errors)
