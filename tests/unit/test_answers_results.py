# SPDX-License-Identifier: GPL-2.0-only
"""Results as answers take them: from the JSON of commands, and from the store of nightly runs."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.answers import documents, nights
from harness.answers.evidence import together
from harness.commands.output import as_json
from harness.errors import ConfigError, Exit
from harness.nightly import matrix
from harness.nightly.database.migrate import kernel_error
from harness.nightly.store import Store
from harness.nightly.unit import CellState, HitCost, UnitKind, result
from harness.report import cost_report, kernels_report, storm_report
from harness.report.formats import json_report
from harness.run.result import Comparison, Unjudged
from tests.unit import test_cost, test_reports, test_storm
from tests.unit.nights import FACTS, MATRIX, cell, done, surveyed, written


def read(folder: Path, document: object, name: str = "out.json") -> Any:
    file = folder / name
    file.write_bytes(as_json(document))
    return documents.read(str(file))


def test_a_run(tmp_path: Path) -> None:
    found = read(tmp_path, json_report.document(test_reports.result(broken=True, missing=1)))
    (run,) = found.runs
    assert (run.command, run.kernel, run.release, run.engine) == (
        "repro", "debian:6.1", "6.1.0", "port"
    )  # fmt: skip
    assert (run.planned, run.played, run.differ, run.status) == (4, 3, 2, Exit.DIFFERS)
    assert run.when.endswith(" UTC")
    cells = {(one.variant, one.case): one for one in found.cells}
    assert cells["fixed-64", "stack-9"].damage is None
    assert cells["none", "stack-9"].damage == {"leak": 8, "overflow": 3}
    assert not cells["none", "stack-9"].agrees
    assert cells["none", "by-ref-24"].damage == {"by-ref": 24}
    assert cells["none", "by-ref-24"].agrees
    assert len(found.differing) == 2
    assert found.exit_status == Exit.DIFFERS


def test_runs_on_several_kernels(tmp_path: Path) -> None:
    other = dataclasses.replace(test_reports.result(), spec="debian:6.12", release="6.12")
    lost = Unjudged("debian:5.10", "No such package.", "", Exit.UNJUDGED)
    comparison = Comparison((test_reports.result(), other), (lost,))
    found = read(tmp_path, kernels_report.as_json(comparison))
    assert [run.release for run in found.runs] == ["6.1.0", "6.12"]
    assert found.unjudged == ("debian:5.10: No such package.",)
    assert found.exit_status == Exit.UNJUDGED


def test_costs(tmp_path: Path) -> None:
    made = test_cost.result()
    found = read(tmp_path, cost_report.document(made))
    (run,) = found.runs
    assert (run.command, run.status) == ("cost", made.exit_status)
    measured = [one for one in made.outcomes if one.instructions is not None]
    assert [one.variant for one in found.costs] == [one.variant.name for one in measured]


def test_storms(tmp_path: Path) -> None:
    made = test_storm.result()
    found = read(tmp_path, storm_report.document(made))
    assert found.runs[0].command == "storm"
    storms = [one.storm for one in made.outcomes if one.storm]
    assert [(one.hits, one.at_once) for one in found.storms] == [
        (storm.hits, storm.at_once) for storm in storms
    ]


SURVEY = {
    "schema": 2,
    "kernels": [
        {
            "kernel": "debian:6.1",
            "release": "6.1.0",
            "all": {"functions": 42656, "stacked": 128, "by_reference": 55, "unknown": 7},
            "stacked_bytes": [{"bytes": 8, "functions": 100}, {"bytes": 48, "functions": 28}],
        }
    ],
}


def test_a_survey(tmp_path: Path) -> None:
    (found,) = read(tmp_path, SURVEY).functions
    assert (found.functions, found.by_reference, found.unknown) == (42656, 55, 7)
    assert (found.most, sum(found.stacked.values())) == (48, 128)
    assert found.run.column == "6.1.0"


def test_when_a_file_was_written_stands_in_for_what_it_does_not_say(tmp_path: Path) -> None:
    file = tmp_path / "survey.json"
    file.write_text(json.dumps(SURVEY))
    os.utime(file, (0, 0))
    assert documents.read(str(file)).runs[0].when == "1970-01-01 00:00 UTC"
    file.write_text(json.dumps({**SURVEY, "written": "2026-01-02 03:04 UTC"}))
    assert documents.read(str(file)).runs[0].when == "2026-01-02 03:04 UTC"


def earlier() -> dict[str, Any]:
    """Return a result as versions wrote it that did not say what was observed by class."""
    document = json_report.document(test_reports.result())
    for verdict in document["verdicts"]:
        del verdict["damage"]
    return document


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "is no result that claims can be held against"),
        ('{"schema": 2, "failures": []}', "is no result that claims can be held against"),
        ('{"verdicts": []}', "`summary`"),
        ('{"costs": [], "kernel": 6, "compiler": "", "exit_status": 0, "errors": []}', "`str`"),
        ('{"storms": [], "kernel": "", "compiler": "", "exit_status": 9, "errors": []}', "9"),
        (json.dumps(earlier()), "was written by an earlier version"),
    ],
)
def test_what_is_no_result(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "out.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        documents.read(str(file))
    assert str(file) in caught.value.sentence
    assert sentence in caught.value.sentence
    assert "--json" in caught.value.hint


def test_no_nightly_run(store: Store) -> None:
    found = nights.newest(store)
    assert (found.runs, found.cells, found.exit_status) == ((), (), Exit.AGREES)


def test_the_newest_nightly_run(store: Store, tmp_path: Path) -> None:
    text = MATRIX.replace("debian:6.1", "debian:6.1, debian:5.10")
    wanted = matrix.load(
        written(tmp_path, text + "fuzz: {count: 3}\ncost: {growth: 2}\nsurvey: true\n")
    )
    before, now = store.begin(wanted), store.begin(wanted)
    store.add(before, done(cell(size=16)))
    unseen = cell("stack-8", state=CellState.UNJUDGED, agrees=False)
    store.add(now, done(cell(), cell("stack-10", size=0), unseen))
    units = {(unit.kernel, unit.kind): unit for unit in wanted.units}
    spent = [
        HitCost(variant="none", instructions=100, saved=0),
        HitCost(variant="v15", instructions=110, saved=0),
    ]
    wrong = kernel_error("v15: too many")
    wrong = type(wrong)(kind="cost", fingerprint="v15", text=wrong.text)
    cost = result(units["debian:6.1", UnitKind.COST], 1.0, 2.0, costs=spent, planned=2, played=2,
                  facts=FACTS, kernel_errors=[wrong])  # fmt: skip
    store.add(now, cost)
    fuzz = units["debian:6.1", UnitKind.FUZZ]
    store.add(now, result(fuzz, 1.0, 2.0, planned=3, played=3, facts=FACTS))
    store.add(now, surveyed())
    found = nights.newest(store)
    cells = {one.case: one for one in found.cells}
    assert cells["stack-9"].damage == {"leak": 8}
    assert cells["stack-10"].damage == {}
    assert cells["stack-8"].damage is None
    assert [(one.variant, one.agrees) for one in found.costs] == [("none", True), ("v15", False)]
    (counted,) = found.functions
    assert (counted.functions, counted.by_reference, counted.unknown) == (9000, 200, 10)
    assert (counted.most, counted.stacked[8]) == (144, 600)
    assert (counted.run.column, counted.run.status) == ("6.1", Exit.AGREES)
    first, second, third = found.runs
    assert [run.command for run in found.runs] == ["nightly", "nightly, cost", "nightly, survey"]
    assert third == counted.run
    assert (first.where, first.release, first.when) == (
        "nightly run 2", "6.1", "1970-01-01 00:00 UTC"
    )  # fmt: skip
    assert (first.status, second.status) == (Exit.DIFFERS, Exit.DIFFERS)
    # What was planned and never done is not passed over.
    assert {text.partition(",")[0] for text in found.unjudged} == {"nightly run 2"}
    assert any("debian:5.10" in text for text in found.unjudged)


def test_statuses_of_units(store: Store, tmp_path: Path) -> None:
    wanted = matrix.load(written(tmp_path, MATRIX))
    statuses = []
    for one in (done(cell()), done(cell(), planned=2), done(cell(agrees=False))):
        store.add(store.begin(wanted), one)
        statuses.append(nights.newest(store).exit_status)
    assert statuses == [Exit.AGREES, Exit.INFRASTRUCTURE, Exit.DIFFERS]


def test_results_of_several_sources(tmp_path: Path) -> None:
    run = json_report.document(test_reports.result())
    found = together([read(tmp_path, run), read(tmp_path, SURVEY, "survey.json")])
    assert [one.command for one in found.runs] == ["repro", "survey"]
    assert len(found.cells) == 4
    assert len(found.functions) == 1
