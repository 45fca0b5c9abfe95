# SPDX-License-Identifier: GPL-2.0-only
"""What was timed, as tables and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.kernel.kernel import Bootable
from harness.measure.bench.growth import Growth
from harness.measure.bench.peers import Measured as MeasuredPeer
from harness.measure.bench.rounds import MIB, Measured, Measurement
from harness.measure.bench.rows import Row
from harness.measure.bench.spread import Spread, spread
from harness.report.terminal import console, print_rows, say

SCHEMA = 2
PEERS_BESIDE = "x bare"


@dataclass(frozen=True)
class Report:
    """What one run of the command has measured; None for what was not asked for."""

    kernel: Bootable
    measurement: Measurement | None = None
    peers: Sequence[MeasuredPeer] | None = None
    growth: Growth | None = None


def document(report: Report) -> dict[str, Any]:
    """Return the measurements as a JSON document."""
    made: dict[str, Any] = {
        "schema": SCHEMA,
        "kernel": report.kernel.spec,
        "release": report.kernel.release,
    }
    if measurement := report.measurement:
        made["runs"] = len(measurement.rounds)
        made["rows"] = [_row(one) for one in measurement.rows]
        made["memory"] = [
            {
                "work": name,
                "tree": most.tree,
                "own": most.own,
                "qemu": most.qemu,
                "clone": most.private,
            }
            for name, most in measurement.memory.items()
        ]
    if report.peers is not None:
        made["peers"] = [_peer(one) for one in report.peers]
    if growth := report.growth:
        made["growth"] = {
            "points": [{"verdicts": p.verdicts, "seconds": p.seconds} for p in growth.points],
            "fixed_seconds": growth.fixed,
            "seconds_each": growth.each,
        }
    return made


def _row(one: Measured) -> dict[str, Any]:
    row = one.row
    return {
        "name": row.name,
        "shows": row.shows,
        "unit": row.unit,
        "median": one.value.median,
        "low": one.value.low,
        "high": one.value.high,
        "values": list(one.values),
        "seconds": list(one.seconds),
        "target": row.target,
        "better": "more" if row.at_least else "less",
        "met": one.met,
    }


def _peer(one: MeasuredPeer) -> dict[str, Any]:
    return {
        "name": one.peer.name,
        "does": one.peer.does,
        "kernel": one.peer.kernel,
        "command": list(one.command),
        "missing": one.missing,
        "ratios": list(one.ratios),
        "seconds": list(one.seconds),
    }


def print_report(report: Report) -> None:
    """Print all tables."""
    out = console()
    if measurement := report.measurement:
        _print_rows(report.kernel, measurement)
        if measurement.memory:
            out.print()
            _print_memory(measurement)
    if report.peers is not None:
        if report.measurement:
            out.print()
        _print_peers(report.peers)
    if growth := report.growth:
        if report.measurement:
            out.print()
        _print_growth(growth)


def number(value: float) -> str:
    """Return a number with as many digits as mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _between(value: Spread) -> str:
    return f"{number(value.low)} to {number(value.high)}"


def _target(row: Row) -> str:
    if row.target is None:
        return "-"
    return ("at least " if row.at_least else "at most ") + number(row.target)


def _print_rows(kernel: Bootable, measurement: Measurement) -> None:
    runs = len(measurement.rounds)
    print_rows(
        f"{kernel.release}: median of {runs} round{'s' * (runs > 1)}, with quartiles",
        ("row", "of", "seconds", "median", "", "quartiles", "target", "met"),
        [
            (
                one.row.name,
                one.row.shows,
                number(spread(one.seconds).median) if one.seconds else "-",
                number(one.value.median),
                one.row.unit,
                _between(one.value),
                _target(one.row),
                {None: "-", True: "yes", False: "no"}[one.met],
            )
            for one in measurement.rows
        ],
    )


def _print_memory(measurement: Measurement) -> None:
    print_rows(
        "the most memory, in MiB, in a run of its own",
        ("work", "all processes", "the command's own", "QEMU", "what a further clone takes"),
        [
            (name, *(f"{size / MIB:.0f}" for size in (m.tree, m.own, m.qemu, m.private)))
            for name, m in measurement.memory.items()
        ],
    )


def _print_peers(peers: Sequence[MeasuredPeer]) -> None:
    print_rows(
        "peers, in the same rounds",
        ("peer", "does", "on", "median", "", "quartiles"),
        [
            (
                one.peer.name,
                one.peer.does,
                one.peer.kernel,
                *(
                    (number(one.ratio.median), PEERS_BESIDE, _between(one.ratio))
                    if one.ratio
                    else ("-", "", "")
                ),
            )
            for one in peers
        ],
    )
    for one in peers:
        say(f"{one.peer.name}: {one.missing or shlex.join(one.command)}")


def _print_growth(growth: Growth) -> None:
    print_rows(
        "random signatures, from the command's start to its end",
        ("verdicts", "seconds"),
        [(f"{point.verdicts:,}", f"{point.seconds:.2f}") for point in growth.points],
    )
    say(growth_sentence(growth))


def growth_sentence(growth: Growth) -> str:
    """Return what the points come to."""
    if growth.each <= 0:
        return "The times do not grow: what a verdict costs is less than their noise."
    return (
        f"{growth.fixed:.2f} s, and {number(growth.each * 1000)} ms for each verdict:"
        f" {number(1 / growth.each)} a second."
    )
