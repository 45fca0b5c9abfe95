# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run in the formats that the field uses."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from harness.errors import InfrastructureError
from harness.model.context import Context
from harness.nightly import compare, matrix, night
from harness.nightly.compare import Sort
from harness.nightly.database.migrate import kernel_error
from harness.nightly.outputs import formats, kcidb, mail, summary
from harness.nightly.store import Store
from harness.nightly.unit import HitCost, UnitKind, result
from harness.report.formats import json_report, testcase
from harness.tracers.cell import Status
from harness.tracers.reading import Read
from tests.unit.nights import FACTS, MATRIX, cell, done, surveyed, traced, tracing, written
from tests.unit.test_reports import check_ktap


@pytest.fixture
def dearer(store: Store, tmp_path: Path) -> night.Report:
    """A nightly run with cells as they were, a hit that costs more and one not measured."""
    wanted = matrix.load(written(tmp_path, MATRIX + "cost: {growth: 2}\n"))
    (unit,) = [one for one in wanted.units if one.kind is UnitKind.COST]
    accepted, now = store.begin(wanted), store.begin(wanted)
    for one, costs in ((accepted, {"none": 100, "fixed-128": 100}), (now, {"none": 110})):
        store.add(one, done(cell()))
        spent = [
            HitCost(variant=name, instructions=count, saved=0) for name, count in costs.items()
        ]
        store.add(one, result(unit, 1.0, 2.0, costs=spent, planned=2, played=2, facts=FACTS))
    store.finish(now)
    store.accept(accepted, "me", "why not")
    return night.report(store, store.night(now.id))


def test_the_mail_is_readable_as_it_stands(report: night.Report) -> None:
    lines = mail.text(report).splitlines()
    assert lines[0] == "Subject: [jprobe-harness] 4 regressions in nightly run 2"
    assert lines[1] == ""
    assert max(len(line) for line in lines) <= mail.COLUMNS
    text = "\n".join(lines)
    assert "* debian:6.1, none x stack-9\n  leak 8 -> leak 16\n  corrupt: argument 8: " in text
    assert "held against" not in text
    assert "against nightly run 1, accepted by me (why not)" in " ".join(text.split())
    assert "missing: debian:5.10 gcc cells 1: No disk." in text
    assert "\n  jprobe-harness repro --kernel debian:6.1 --variant none --case stack-8" in text
    (fuzzed,) = [one for one in report.regressions if one.sort is Sort.FUZZ]
    alone = mail.text(dataclasses.replace(report, regressions=[fuzzed]))
    assert "\n  jprobe-harness fuzz --kernel debian:6.1 --seed 1 --count 3" in alone


def test_a_mail_names_only_so_many(report: night.Report) -> None:
    many = dataclasses.replace(report, regressions=list(report.regressions) * 20)
    assert f"and {len(many.regressions) - mail.NAMED} more." in mail.text(many)


def test_ktap_of_a_nightly_run(report: night.Report) -> None:
    lines = formats.as_ktap(report).splitlines()
    check_ktap(lines)
    assert "    not ok 2 stack-9 - leak 16" in lines
    assert "    # stack-9: leak 8 -> leak 16" in lines
    assert "    ok 1 stack-10 - leak 8" in lines
    assert "    not ok 1 signatures - 2 of 3" not in lines
    assert sum(line.startswith("not ok") for line in lines) == 3
    # What random signatures found is not reported a second time, with the kernel's cells.
    assert sum(" fuzz-1 - " in line for line in lines) == 1


def test_costs_are_reported_with_the_unit_that_measured_them(dearer: night.Report) -> None:
    cells, costs = formats.tests(dearer)
    assert cells == (cells[0], [("none", [testcase.Test("stack-9", "leak 8", ())])])
    risen = "100 instructions a hit -> 110"
    dear = testcase.Test(
        "cost", "110 instructions a hit", (risen, "10.0 % more, where 2 % are allowed")
    )
    gone = testcase.Test("gone", "not measured", ("not measured",))
    assert costs[1] == [("none", [dear]), ("fixed-128", [gone])]


def test_a_survey_is_counted_and_not_judged(report: night.Report) -> None:
    lost = surveyed(None, harness_errors=["No BTF."])
    (first, *_) = report.results
    found = dataclasses.replace(report, results=[first, surveyed(), lost], regressions=[])
    assert [summary.row(one) for one in found.results[1:]] == [
        ("debian:6.1 gcc survey 1", "6.1", "-", "1 s", "9,000 functions"),
        ("debian:6.1 gcc survey 1", "6.1", "-", "1 s", ""),
    ]
    assert summary.ended(surveyed()).endswith(" debian:6.1 gcc survey 1: 1 s; 9,000 functions")
    assert "nothing judged; 1 s; No BTF." in summary.ended(lost)
    (_, *surveys) = formats.tests(found)
    assert [groups for _, groups in surveys] == [
        [("survey", [testcase.Test("functions", "9,000", ())])],
        [("run", [testcase.Test("complete", "", ("No BTF.",), error=True)])],
    ]
    check_ktap(formats.as_ktap(found).splitlines())
    # What compiles nothing does not keep KCIDB from the compiler of the same kernel.
    (build,) = json.loads(kcidb.document(found))["builds"]
    assert (build["compiler"], build["status"]) == ("gcc", "PASS")
    alone = json.loads(kcidb.document(dataclasses.replace(found, results=[surveyed()])))
    assert "compiler" not in alone["builds"][0]
    assert alone["tests"][0]["environment"] == {"comment": "none"}


@pytest.fixture
def traces(report: night.Report) -> night.Report:
    """A nightly run of tracers, of which one reads otherwise and one is on a kernel too new."""
    before = tracing(traced(), traced(case="stack-8"), traced("kprobe"))
    now = tracing(
        traced(reads=[Read.RIGHT] * 9, damage={"argument 8": [[0, 8]]}),
        traced(case="stack-8", refused="load: EINVAL", reads=[], status=Status.DIFFERS),
        traced("kprobe", status=Status.UNPREDICTED),
    )
    found = compare.regressions([now], [before])
    return dataclasses.replace(report, results=[now], regressions=found)


def test_tracers_are_tests_of_their_unit(traces: night.Report) -> None:
    (now,) = traces.results
    assert summary.row(now) == (
        "debian:6.1 gcc tracers 1",
        "6.1",
        "1 of 3",
        "1 s",
        "1 not predicted",
    )
    ((_, [(fexit, (first, second)), (kprobe, (third,))]),) = formats.tests(traces)
    assert (fexit, kprobe) == ("fexit", "kprobe")
    assert first.seen == "9 right, argument 8 changed"
    assert first.reasons[0] == "8 right, 1 zero -> 9 right, argument 8 changed"
    assert (second.seen, bool(second.reasons)) == ("refused", True)
    assert (third.reasons, third.skipped) == ((), Status.UNPREDICTED.value)
    lines = formats.as_ktap(traces).splitlines()
    check_ktap(lines)
    assert "    not ok 1 stack-9 - 9 right, argument 8 changed" in lines
    assert "    ok 1 stack-9 - 8 right, 1 zero # SKIP not predicted" in lines
    skipped = ElementTree.fromstring(formats.as_junit(traces)).findall(".//skipped")
    assert [one.get("message") for one in skipped] == ["not predicted"]
    entries = json.loads(kcidb.document(traces))["tests"]
    assert {entry["path"]: entry["status"] for entry in entries} == {
        "jprobe.tracers.fexit.stack-9": "FAIL",
        "jprobe.tracers.fexit.stack-8": "FAIL",
        "jprobe.tracers.kprobe.stack-9": "DONE",
    }
    text = mail.text(traces)
    assert "* debian:6.1, fexit x stack-9\n" in text
    assert "\n  jprobe-harness tracers --kernel debian:6.1 --tracer fexit --case stack-9" in text


def test_tracers_that_are_gone_are_reported_with_their_unit(traces: night.Report) -> None:
    found = compare.regressions([tracing()], [tracing(traced())])
    gone = dataclasses.replace(traces, results=[done(), tracing()], regressions=found)
    (_, cells), (_, of_tracers) = formats.tests(gone)
    assert cells == []
    assert of_tracers == [("fexit", [testcase.Test("stack-9", "not played", ("not played",))])]


def test_tracers_in_numbers(traces: night.Report) -> None:
    (unit,) = as_json(traces)["units"]
    assert (unit["planned"], unit["agree"]) == (3, 1)
    assert unit["tracers"] == [
        {"tracer": "fexit", "cells": 2, "agree": 1, "unpredicted": 0, "refused": 1, "changed": 1,
         "reads": {"right": 9}},
        {"tracer": "kprobe", "cells": 1, "agree": 0, "unpredicted": 1, "refused": 0, "changed": 0,
         "reads": {"right": 8, "zero": 1}},
    ]  # fmt: skip
    (first, _) = as_json(traces)["regressions"]
    assert (first["tracer"], first["variant"], first["case"]) == ("fexit", "", "stack-9")


def test_junit_of_a_nightly_run(report: night.Report) -> None:
    top = ElementTree.fromstring(formats.as_junit(report))
    assert len(top) == 3
    for suite in top:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases) > 0
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))
    assert [suite.attrib["errors"] for suite in top] == ["0", "0", "1"]
    assert top.find("testsuite/testcase[@name='stack-8']/failure") is not None


def test_annotations_of_a_nightly_run(report: night.Report) -> None:
    lines = formats.as_annotations(report).splitlines()
    assert len(lines) == len(report.regressions) + 1
    assert all(re.match(r"::(error|warning) title=[^:,]+::\S", line) for line in lines)
    assert "::warning title=debian%3A5.10 gcc cells 1::No disk.%0AMake room." in lines


def test_kcidb_of_a_nightly_run(report: night.Report) -> None:
    found = json.loads(kcidb.document(report))
    by_path = {(one["path"], one["status"]) for one in found["tests"]}
    assert ("jprobe.stack.none.stack-9", "FAIL") in by_path
    assert ("jprobe.stack.none.stack-10", "PASS") in by_path
    assert ("jprobe.stack.run.complete", "ERROR") in by_path
    builds = {one["id"] for one in found["builds"]}
    assert {one["build_id"] for one in found["tests"]} == builds
    assert {one["checkout_id"] for one in found["builds"]} == {o["id"] for o in found["checkouts"]}
    # KCIDB's own schema refuses it.
    with pytest.raises(InfrastructureError, match="KCIDB would not take"):
        kcidb.document(report, "Not An Origin")


Json = dict[str, Any]
SCHEMA = json.loads((Path(formats.__file__).parent / "night.schema.json").read_text())


def as_json(report: night.Report) -> Json:
    found: Json = json.loads(msgspec.json.encode(summary.document(report)))
    return found


def test_json_of_a_nightly_run(
    report: night.Report, dearer: night.Report, traces: night.Report
) -> None:
    check = jsonschema.Draft202012Validator(SCHEMA)
    unheld = dataclasses.replace(report, baseline=None, accepted=None)
    unbuilt = dataclasses.replace(
        report, results=[done(kernel_errors=[kernel_error("no")], facts=None)]
    )
    counted = dataclasses.replace(report, results=[surveyed()])
    for one in (report, dearer, unheld, unbuilt, counted, traces):
        check.validate(as_json(one))
    reads = SCHEMA["$defs"]["tally"]["properties"]["reads"]["propertyNames"]["enum"]
    assert [read.value for read in Read] == reads
    sorts = SCHEMA["$defs"]["regression"]["properties"]["sort"]["enum"]
    assert {sort.value for sort in Sort} == set(sorts)


def with_survey(whole: Json, unit: Json, survey: Json, name: str, part: Json) -> Json:
    """Return a document of one survey, with one of its rows replaced."""
    return {**whole, "units": [{**unit, "survey": {**survey, name: [part]}}]}


def test_json_that_is_no_nightly_run(dearer: night.Report, traces: night.Report) -> None:
    check = jsonschema.Draft202012Validator(SCHEMA)
    whole = as_json(dearer)
    unit, regression = whole["units"][-1], whole["regressions"][0]
    (counted,) = as_json(dataclasses.replace(dearer, results=[surveyed()]))["units"]
    survey = counted["survey"]
    tallied = as_json(traces)["units"][0]["tracers"][0]
    parts: list[tuple[Json, Callable[[Json], Json]]] = [
        (whole, lambda part: part),
        (whole["baseline"], lambda part: {**whole, "baseline": part}),
        (unit, lambda part: {**whole, "units": [part]}),
        (unit["facts"], lambda part: {**whole, "units": [{**unit, "facts": part}]}),
        (unit["costs"][0], lambda part: {**whole, "units": [{**unit, "costs": [part]}]}),
        (regression, lambda part: {**whole, "regressions": [part]}),
        (tallied, lambda part: {**whole, "units": [{**unit, "tracers": [part]}]}),
        (survey, lambda part: {**whole, "units": [{**unit, "survey": part}]}),
        *(
            (survey[name][0], functools.partial(with_survey, whole, unit, survey, name))
            for name in ("variants", "worst", "aggregates")
        ),
    ]
    for part, within in parts:
        assert check.is_valid(within(part))
        assert not check.is_valid(within({**part, "more": 1}))
        for name in part:
            less = {key: value for key, value in part.items() if key != name}
            assert not check.is_valid(within(less)), name
            assert not check.is_valid(within({**part, name: [None]})), name
    for broken in ({"exit_status": 2}, {"schema": 1}, {"night": 0}):
        assert not check.is_valid({**whole, **broken}), broken
    assert not check.is_valid({**whole, "regressions": [{**regression, "sort": "other"}]})


def test_a_mail_is_for_reading(report: night.Report) -> None:
    (first, *others) = report.regressions
    flooded = dataclasses.replace(first, details=("x " * 10**6,) * 1000)
    report = dataclasses.replace(report, regressions=[flooded, *others])
    for text in (mail.text(report), formats.as_annotations(report)):
        assert len(text) < 200_000
        assert "and 960 more; --json has all" in text
        assert "and 1,998,000 more characters" in " ".join(text.split())


def test_the_schema_of_a_run_has_every_context() -> None:
    schema = json.loads((Path(json_report.__file__).parent / "schema.json").read_text())
    words = schema["$defs"]["verdict"]["properties"]["context"]["enum"]
    assert words == [context.value for context in Context]
