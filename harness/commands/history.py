# SPDX-License-Identifier: GPL-2.0-only
"""Answers questions from the results of past nightly runs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from harness.commands.options import add_json, add_store, count
from harness.commands.output import report_json
from harness.errors import Exit

if TYPE_CHECKING:
    from harness.nightly.compare import Place
    from harness.nightly.store import Store

SUMMARY = "show from past nightly runs when cells changed, which flap, and what units took"
EXAMPLE = "jprobe-harness history cells --case stack-9 --variant none"

NIGHTS = 30
KEPT = 400


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=tuple(QUESTIONS),
        help="nights: each with its end; cells: when each changed; flapping: those that changed;"
        " time: what units took; cost: what a hit cost; baselines: who accepted what, and why;"
        " prune: forget old runs",
    )
    parser.add_argument(
        "--tracer",
        metavar="NAME",
        help="of cells and flapping: what was played under this tracer, or a pattern of names",
    )
    for name, metavar in (("kernel", "SPEC"), ("variant", "NAME"), ("case", "NAME")):
        parser.add_argument(
            f"--{name}",
            default="*",
            metavar=metavar,
            help=f"only this {name}, or a pattern of names",
        )
    parser.add_argument(
        "--last",
        type=count,
        default=NIGHTS,
        metavar="N",
        help=f"look at so many nightly runs (default: {NIGHTS})",
    )
    add_store(parser)
    parser.add_argument(
        "--keep",
        type=count,
        default=KEPT,
        metavar="N",
        help=f"of prune: so many nightly runs stay, and those that were accepted (default: {KEPT})",
    )
    add_json(parser, "the answer")


def run(options: argparse.Namespace) -> int:
    from harness.nightly.store import Store, default_url
    from harness.report import terminal

    with Store(default_url() if options.store is None else options.store) as store:
        title, header, rows = QUESTIONS[options.what](store, options)
    report_json(
        options,
        lambda: {"schema": 1, "rows": [dict(zip(header, row)) for row in rows]},
        lambda: terminal.print_rows(title, header, rows),
    )
    return Exit.AGREES


Answer = tuple[str, tuple[str, ...], Sequence[tuple[str, ...]]]


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _nights(store: Store, options: argparse.Namespace) -> Answer:
    rows = []
    for night in store.nights()[: options.last]:
        done = store.stored(night)
        took = f"{night.ended - night.started:.0f} s" if night.ended else "did not finish"
        units = f"{len(done)} of {len(store.units(night))}"
        rows.append((str(night.id), night.name, _when(night.started), units, took, night.shows))
    header = ("night", "matrix", "started", "units", "took", "shows")
    return "nightly runs, the newest first", header, rows


def _baselines(store: Store, options: argparse.Namespace) -> Answer:
    rows = [
        (str(one.night), _when(one.accepted), one.who, one.why)
        for one in store.baselines()[: options.last]
    ]
    return "accepted runs, the newest first", ("night", "accepted", "who", "why"), rows


def _matches(place: Place, options: argparse.Namespace) -> bool:
    if bool(place.tracer) != (options.tracer is not None):
        return False
    if place.tracer and not fnmatchcase(place.tracer, options.tracer):
        return False
    return all(
        fnmatchcase(getattr(place, name), getattr(options, name))
        for name in ("kernel", "variant", "case")
    )


def _columns(options: argparse.Namespace) -> tuple[str, ...]:
    return "kernel", "compiler", "variant" if options.tracer is None else "tracer", "case"


def _cell(place: Place) -> tuple[str, ...]:
    return place.kernel, place.compiler, place.variant or place.tracer, place.case


def _seen(store: Store, options: argparse.Namespace) -> Any:
    """Nightly runs, the oldest first, and what each saw."""
    nights = store.nights()[: options.last][::-1]
    return nights, [store.results(night) for night in nights]


def _cells(store: Store, options: argparse.Namespace) -> Answer:
    from harness.nightly import compare

    nights, results = _seen(store, options)
    rows = [
        (*_cell(place), str(nights[index].id), words)
        for place, found in compare.changes(results).items()
        if _matches(place, options)
        for index, words in found
    ]
    header = (*_columns(options), "since night", "is")
    return "cells, and since when each is as it is", header, rows


def _flapping(store: Store, options: argparse.Namespace) -> Answer:
    from harness.nightly import compare

    _, results = _seen(store, options)
    rows = []
    for place, found in compare.changes(results).items():
        words = " -> ".join(one for _, one in found)
        if _matches(place, options) and ("->" in words or " or " in words):
            rows.append((*_cell(place), str(len(found) - 1), words))
    header = (*_columns(options), "changes", "was")
    return f"cells that changed in {len(results)} nightly runs", header, rows


def _time(store: Store, options: argparse.Namespace) -> Answer:
    nights, results = _seen(store, options)
    rows = [
        (done.unit, str(night.id), f"{done.ended - done.started:.1f}", str(done.boots))
        for night, units in zip(nights, results)
        for done in units
        if fnmatchcase(done.kernel, options.kernel)
    ]
    rows.sort(key=lambda row: (row[0], int(row[1])))
    return "how long units took, in seconds", ("unit", "night", "seconds", "boots"), rows


def _cost(store: Store, options: argparse.Namespace) -> Answer:
    nights, results = _seen(store, options)
    rows = [
        (done.kernel, done.compiler, cost.variant, str(night.id), f"{cost.instructions:,.1f}")
        for night, units in zip(nights, results)
        for done in units
        for cost in done.costs
        if fnmatchcase(done.kernel, options.kernel) and fnmatchcase(cost.variant, options.variant)
    ]
    rows.sort(key=lambda row: (*row[:3], int(row[3])))
    header = ("kernel", "compiler", "variant", "night", "instructions")
    return "instructions a hit", header, rows


def _prune(store: Store, options: argparse.Namespace) -> Answer:
    gone = store.prune(options.keep)
    return "nightly runs", ("forgotten", "kept"), [(str(gone), str(len(store.nights())))]


QUESTIONS = {
    "nights": _nights,
    "cells": _cells,
    "flapping": _flapping,
    "time": _time,
    "cost": _cost,
    "baselines": _baselines,
    "prune": _prune,
}
