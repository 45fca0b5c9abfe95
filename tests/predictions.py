# SPDX-License-Identifier: GPL-2.0-only
"""
Write what the model predicts of each case under each variant: python -m tests.predictions

The file that it writes is compared with the model by tests/unit/test_predictions.py.  A line in
it changes for a reason that the commit gives, never because the model said so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.cases.catalog import Catalog
from harness.model.assumed import RecordPosition, lay_out
from harness.model.case import Case
from harness.model.context import Context
from harness.model.policy import Hit
from harness.model.predict import MeasuredFrame, predict
from harness.report.summaries import prediction_row

FILE = Path(__file__).parent / "unit/data/predictions.txt"
_HEAD = """\
# First the contexts; all numbers are bytes.
#
# Then for each case the stack at the hit, from SP (rule C.16 and what follows), and for each
# variant how many bytes it puts back, the class, and the corrupt bytes of each argument.
# Where the compiler keeps the frame record above the locals, only what differs is listed.
"""


def _stack(case: Case, hit: Hit, frame: MeasuredFrame) -> str:
    parts = [case.context.value, f"arguments [0:{case.layout.stack_size}]"]
    for index, at in sorted(frame.pointees.items()):
        start = at - hit.sp
        parts.append(f"copy of {index} [{start}:{start + case.arguments[index].type.size}]")
    if case.object:
        start = frame.object - hit.sp
        parts.append(f"object [{start}:{start + case.object.size}]")
    parts.append(f"fp {hit.fp - hit.sp}" if case.valid_fp else "fp nowhere")
    return ", ".join([*parts, f"top {hit.top - hit.sp}"])


def _rows(case: Case, catalog: Catalog, position: RecordPosition) -> list[str]:
    hit, frame = lay_out(case, position)
    rows = [f"{case.name}: {_stack(case, hit, frame)}"]
    for variant in catalog.variants.values():
        prediction = predict(case, variant.expected, hit, frame)
        row = prediction_row(case, variant, prediction)
        rows.append(f"    {variant.name:<12} {row['window']:>6} {row['class']:<12} {row['text']}")
    return rows


def _context(context: Context) -> str:
    traits = context.traits
    stack = {None: "any stack", False: "a task's stack", True: "an interrupt's stack"}
    least, most = traits.least_depth, traits.most_depth
    depth = "any" if least is None else f"{least} to {most}"
    return (
        f"{context.value}: on {stack[traits.on_irq_stack]}, depth {depth};"
        f" assumed {traits.assumed_depth} on {stack[traits.assumed_on_irq_stack]};"
        f" at most {traits.arguments_max} bytes of arguments, {traits.drawn_arguments_max} drawn,"
        f" a frame of {traits.frame_max}"
    )


def lines(catalog: Catalog) -> Iterator[str]:
    """Yield the lines of the file."""
    yield from map(_context, Context)
    for case in catalog.cases.values():
        below, above = (_rows(case, catalog, position) for position in RecordPosition)
        yield from below
        if above[1:] != below[1:]:
            yield f"{above[0]}, record above"
            yield from (row for row in above[1:] if row not in below)


def text() -> str:
    """Return the whole file."""
    return _HEAD + "".join(f"{line}\n" for line in lines(Catalog()))


if __name__ == "__main__":
    FILE.write_text(text())
