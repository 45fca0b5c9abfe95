# SPDX-License-Identifier: GPL-2.0-only
"""
Print every table that the program has, each between two marks, from made-up results.

As a program: FOLDER VIEW..., where it may write, and for what the tables are printed one after
the other: the width of a terminal that it is to have, or a variable NAME=VALUE that is set
meanwhile. FOLDER/tables.json then lists for each view what the tables hold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import struct
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from harness import cli
from harness.abi.ctype import BOOL, VA_LIST
from harness.answers import text
from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.host import doctor
from harness.measure.cost import CostOutcome
from harness.measure.fuzz import Campaign
from harness.measure.storm import StormOutcome
from harness.model.policy import Rule
from harness.model.storm import Caller
from harness.model.verdict import judge
from harness.modules.build import Modules
from harness.nightly import matrix, night
from harness.nightly.outputs.summary import show
from harness.nightly.store import Store, default_url
from harness.report import (
    cost_report,
    fuzz_report,
    kernels_report,
    layout_report,
    patch_report,
    storm_report,
    terminal,
)
from harness.report.table import lay_out
from harness.report.tracers import tables as tracers
from harness.run.logs import Run
from harness.run.plan import Outcome, Play
from harness.run.result import Comparison, Result, Unjudged
from tests import answers
from tests.unit import test_cost, test_layout, test_logs, test_storm, traced
from tests.unit.factory import HIT, observe
from tests.unit.nights import MATRIX, cell, done, written

BEGIN, END, NEXT = "<<<<", ">>>>", "===="
COMMANDS = (
    ["list", "kernels"],
    ["list", "variants"],
    ["list", "cases"],
    ["list", "tracers"],
    ["predict", "--case", "irq*", "--case", "nested*"],
    ["doctor"],
    ["runs"],
    ["log", "last"],
    ["history", "nights"],
    ["history", "cells"],
    ["history", "flapping"],
    ["history", "time"],
    ["history", "baselines"],
)


def result(spec: str = "debian:6.1") -> Result:
    """Return all cases that the factory can play; under v15 each is as if nothing was saved."""
    outcomes = []
    for made in Catalog().cases.values():
        if {VA_LIST, BOOL} & {argument.type for argument in made.arguments}:
            continue
        irq = made.name.startswith("irq")
        hit = dataclasses.replace(HIT, irq=irq)
        for variant in Catalog().variants.values():
            guest = variant.policy
            if guest.rule is Rule.V15:
                guest = Catalog().variants["none"].policy
            verdict = judge(made, variant.policy, observe(made, guest, hit))
            outcomes.append(Outcome(Play(variant, made), verdict))
    return Result(
        spec=spec, release="6.1.0-56-cloud-arm64", engine="port", compiler="gcc",
        outcomes=tuple(outcomes), planned=len(outcomes), logs="/state/runs/20260101-000000-1-a",
    )  # fmt: skip


def _storms() -> None:
    variants = Catalog().variants
    outcomes = []
    for policy in test_storm.ALL:
        seen = test_storm.storm(policy)
        callers: list[Caller] = [
            dataclasses.replace(caller, calls=10**6 + caller.calls) for caller in seen.callers
        ]
        seen = dataclasses.replace(seen, hits=1234567, callers=tuple(callers))
        made = dataclasses.replace(variants["fixed-128"], policy=policy)
        outcomes.append(StormOutcome(made, seen, ("hits: one is missing",)))
    storm_report.print_storms(test_storm.result(*outcomes, planned=len(outcomes)))


def _costs() -> None:
    outcomes = [
        CostOutcome(variant, test_cost.measured(), ()) for variant in Catalog().variants.values()
    ]
    cost_report.print_costs(test_cost.result(*outcomes))


def _kernels(made: Result) -> None:
    gone = Unjudged("debian:6.3/cloud", "The archive has none.", "Try again.", Exit.INFRASTRUCTURE)
    other = dataclasses.replace(
        made, spec="debian:6.12", outcomes=(*made.outcomes[6:12], *made.outcomes[6:])
    )
    kernels_report.print_comparison(Comparison((made, other), (gone,)))


def _patch(made: Result) -> None:
    """Print what a patch changes that makes each variant do what another one does."""
    verdicts = {(o.play.case.name, o.play.variant.name): o.verdict for o in made.outcomes}
    names = list(Catalog().variants)
    other = dict(zip(names, [*names[1:], names[0]]))
    outcomes = [
        dataclasses.replace(o, verdict=verdicts[o.play.case.name, other[o.play.variant.name]])
        for o in made.outcomes
    ]
    after = dataclasses.replace(made, outcomes=tuple(outcomes))
    patch_report.print_patch(Comparison((made, after)))


def _fuzz(made: Result) -> None:
    campaign = Campaign(
        1, 100, "6.1", "gcc", played=100, failures=tuple(made.differing), digest="a1" * 8
    )
    fuzz_report.print_campaign(campaign, None, "")


def _layouts() -> None:
    layout_report.print_layouts({"gcc": test_layout.result(64), "clang-16": test_layout.result(8)})


def _tracers() -> None:
    found = [traced.every("debian:6.12", (6, 12)), traced.every()]
    tracers.show(found[1:])
    tracers.show(found)
    for name in ("struct-16-aligned", "by-ref-24"):
        tracers.show([traced.tracing(traced.cell("fexit", name), traced.cell("kprobe", name))])
    cells = [traced.cell("func-args", name) for name in ("stack-12", "by-ref-24")]
    tracers.show([traced.tracing(*cells)])


def _night(folder: Path) -> None:
    with Store(default_url()) as store:
        planned = matrix.load(written(folder, MATRIX))
        for seen in (cell(), cell(size=16, agrees=False, reasons=["one more byte"])):
            now = store.begin(planned)
            store.add(now, done(seen, retried=["a disk was full"]))
            store.finish(now)
            store.accept(now, "somebody", "the handler's own writes are leaks that we know of")
        show(night.report(store, now))


def _run(folder: Path) -> None:
    (folder / "modules").mkdir()
    (folder / "modules/compiler").write_text("some gcc")
    test_logs.logs.version = lambda: "QEMU 0"  # type: ignore[attr-defined]
    made = Run(test_logs.KERNEL, Modules(folder / "modules", "m", folder))
    made.about.command = ["jprobe-harness", "repro", "--kernel", "~/" + "long/" * 12 + "linux"]
    made.finish(planned=618, agree=617, status=1)


Tables = list[dict[str, Any]]


@contextlib.contextmanager
def _as_seen(view: str) -> Iterator[None]:
    name, _, value = view.rpartition("=")
    if name:
        os.environ[name] = value
    else:
        size = struct.pack("4H", 40, int(view), 0, 0)
        fcntl.ioctl(sys.stdout.fileno(), termios.TIOCSWINSZ, size)
    yield
    os.environ.pop(name, None)


def _print_all(folder: Path, made: Result) -> None:
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    terminal.print_result(made)
    _kernels(made)
    _patch(made)
    _storms()
    _costs()
    _layouts()
    _tracers()
    _fuzz(made)
    terminal.print_dump(made.outcomes[0])
    _run(folder)
    _night(folder)
    text.show(answers.page(answers.stored()))
    for words in COMMANDS:
        assert cli.main(words) == 0, words


def main(folder: Path, views: Sequence[str]) -> None:
    """Print all tables for each view, and write what they hold into the folder."""
    tables: Tables = []

    def marked(
        header: Sequence[str],
        rows: Sequence[Sequence[Text]],
        columns: int | None,
        *,
        alike: bool = False,
    ) -> list[Text]:
        plain = [[cell.plain for cell in row] for row in rows]
        tables.append({"header": list(header), "rows": plain, "alike": alike})
        return [Text(BEGIN), *lay_out(header, rows, columns, alike=alike), Text(END)]

    terminal.lay_out = marked  # type: ignore[attr-defined]
    doctor.PROGRAMS = doctor.PROGRAMS[:3]  # type: ignore[assignment]
    made = result()
    found: list[Tables] = []
    for view in views:
        own = folder / view
        own.mkdir()
        print(NEXT, flush=True)
        with _as_seen(view):
            _print_all(own, made)
        found.append(tables[:])
        tables.clear()
    (folder / "tables.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
