# SPDX-License-Identifier: GPL-2.0-only
"""Cells of tracers as a faithful guest would make them, or a faithless one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.abi import aapcs64
from harness.abi.offsets import Offsets
from harness.cases.catalog import Catalog
from harness.model.case import Case, default_value
from harness.tracers.catalog import tracers
from harness.tracers.cell import Cell, Passed, Seen
from harness.tracers.reading import Read, Reading, Traced
from harness.tracing.run import Tracing
from tests.unit.factory import flip

AT = 0xFFFF800008003100
CASES = Catalog().cases
# What each tracer that is not there is refused with.
REFUSED = "attach: ENOTSUPP"


def predicted(tracer: str, case: Case, release: tuple[int, int]) -> Reading | None:
    """Return what the rule of a tracer says of a case."""
    types = case.types[: case.named]
    names = tuple(f"a{index}" for index in range(case.named))
    traced = Traced(types, aapcs64.place(types), case.variadic, True, names)
    return tracers()[tracer].predict(release, lambda option: True, traced)


def cell(
    tracer: str,
    case: str | Case,
    release: tuple[int, int] = (7, 2),
    *,
    reads: Sequence[Read] | None = None,
    errors: tuple[str, ...] = (),
) -> Cell:
    """Return a cell in which all is as the rule says, or else arguments are read as `reads`."""
    made = CASES[case] if isinstance(case, str) else case
    known = predicted(tracer, made, release)
    reading = known or predicted(tracer, made, (7, 2))
    assert reading
    passed = tuple(_passed(made))
    if errors:
        return Cell(tracer, made, None, Seen(), errors=errors)
    values = tuple(map(_value, passed, reading.reads if reads is None else reads))
    changed = {} if reads is not None else reading.corrupts
    arrived = tuple(
        bytes(
            octet ^ 0xFF if at in changed.get(index, ()) else octet
            for at, octet in enumerate(one.value)
        )
        for index, one in enumerate(passed)
    )
    return Cell(
        tracer,
        made,
        known,
        Seen(refused=REFUSED) if reading.refused else Seen(values),
        passed=passed,
        left=changed,
        arrived=arrived,
        called=reading.called,
    )


def _passed(made: Case) -> list[Passed]:
    placements = made.layout.placements
    return [
        Passed(
            argument.type,
            argument.value or default_value(argument.type, index),
            AT + 64 * index if placements[index].by_reference else None,
        )
        for index, argument in enumerate(made.arguments[: made.named])
    ]


def _value(passed: Passed, read: Read) -> bytes | None:
    match read:
        case Read.ABSENT:
            return None
        case Read.ADDRESS:
            return (passed.at or AT).to_bytes(8, "little")
        case Read.ZERO:
            return bytes(8)
        case Read.ANOTHER:
            return flip(passed.value)
        case Read.TRUNCATED:
            return passed.value[:8]
    return passed.value


def tracing(*cells: Cell, spec: str = "debian:7.2", planned: int | None = None) -> Tracing:
    """Return the cells of one kernel."""
    release = f"{spec.partition(':')[2]}.0-arm64"
    return Tracing(spec, release, cells, len(cells) if planned is None else planned)


def every(spec: str = "debian:7.2", release: tuple[int, int] = (7, 2)) -> Tracing:
    """Return each tracer on some cases of each sort."""
    names = (
        "stack-8", "stack-12", "struct-9-registers", "by-ref-24", "struct-16-aligned",
        "variadic-registers",
    )  # fmt: skip
    return tracing(*(cell(tracer, name, release) for tracer in tracers() for name in names),
                   spec=spec)  # fmt: skip


def beside() -> Cell:
    """Return a cell in which a jprobe's handler has changed the ninth argument before."""
    made = cell("kprobe-exact", "stack-9")
    last = made.passed[8]
    met = bytes(octet ^ 0xFF for octet in last.value)
    return dataclasses.replace(
        made,
        variant="none",
        beside={8: Offsets.span(0, 8)},
        left={8: Offsets.span(0, 8)},
        passed=(*made.passed[:8], dataclasses.replace(last, met=met)),
        seen=Seen((*made.seen.values[:8], met)),
        arrived=(*made.arrived[:8], met),
    )
