# SPDX-License-Identifier: GPL-2.0-only
"""A night in the formats that the field uses."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import msgspec
import pytest

from harness.errors import InfrastructureError
from harness.nightly import formats, kcidb, mail, matrix, night, told
from harness.nightly.compare import Sort
from harness.nightly.store import Store
from harness.nightly.unit import Complaint, Kind, Unit, result
from tests.unit.nights import FACTS, MATRIX, cell, done, written
from tests.unit.test_reports import check_ktap


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/history.sqlite") as opened:
        yield opened


@pytest.fixture
def report(store: Store, tmp_path: Path) -> night.Report:
    """A night with a regression of each sort, and a unit of which nothing came."""
    text = MATRIX.replace("debian:6.1", "debian:6.1, debian:5.10")
    wanted = matrix.load(written(tmp_path, text + "fuzz: {count: 3}\n"))
    accepted, now = store.begin(wanted), store.begin(wanted)
    store.add(accepted, done(cell(), cell("stack-8", size=0), cell("stack-10")))
    store.add(accepted, done(cell(), kernel="debian:5.10"))
    store.accept(accepted, "me", "why not")
    complaint = Complaint(kind="BUG", title="BUG: <x> # \0y", fingerprint="f", text="",
                          case="stack-9", variant="none")  # fmt: skip
    store.add(now, done(cell(size=16), cell("stack-10"), complaints=[complaint]))
    store.add(now, done(kernel="debian:5.10", own_trouble=["No disk.\nMake room."], planned=2))
    fuzzed = Unit(kernel="debian:6.1", compiler="gcc", kind=Kind.FUZZ, variants=[], deadline=1)
    failure = cell("fuzz-1", agrees=False, reasons=["one byte"])
    store.add(now, result(fuzzed, 1.0, 2.0, cells=[failure], planned=3, played=3, facts=FACTS))
    return night.report(store, now)


def test_the_mail_is_readable_as_it_stands(report: night.Report) -> None:
    lines = mail.text(report).splitlines()
    assert lines[0] == "Subject: [jprobe-harness] 4 regressions in night 2"
    assert lines[1] == ""
    assert max(len(line) for line in lines) <= mail.COLUMNS
    text = "\n".join(lines)
    assert "* debian:6.1, none x stack-9\n  leak 8 -> leak 16\n  corrupt: argument 8: " in text
    assert "held against" not in text
    assert "against night 1, accepted by me (why not)" in " ".join(text.split())
    assert "missing: debian:5.10 gcc cells 1: No disk." in text
    assert "\n  jprobe-harness repro --kernel debian:6.1 --variant none --case stack-8" in text
    (fuzzed,) = [one for one in report.regressions if one.sort is Sort.FUZZ]
    alone = mail.text(dataclasses.replace(report, regressions=[fuzzed]))
    assert "\n  jprobe-harness fuzz --kernel debian:6.1 --seed 1 --count 3" in alone


def test_a_mail_names_only_so_many(report: night.Report) -> None:
    many = dataclasses.replace(report, regressions=list(report.regressions) * 20)
    assert f"and {len(many.regressions) - mail.NAMED} more." in mail.text(many)


def test_ktap_of_a_night(report: night.Report) -> None:
    lines = formats.as_ktap(report).splitlines()
    check_ktap(lines)
    assert "    not ok 2 stack-9 - leak 16" in lines
    assert "    # stack-9: leak 8 -> leak 16" in lines
    assert "    ok 1 stack-10 - leak 8" in lines
    assert "    not ok 1 signatures - 2 of 3" not in lines
    assert sum(line.startswith("not ok") for line in lines) == 3


def test_junit_of_a_night(report: night.Report) -> None:
    top = ElementTree.fromstring(formats.as_junit(report))
    assert len(top) == 3
    for suite in top:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases) > 0
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))
    assert [suite.attrib["errors"] for suite in top] == ["0", "0", "1"]
    assert top.find("testsuite/testcase[@name='stack-8']/failure") is not None


def test_annotations_of_a_night(report: night.Report) -> None:
    lines = formats.as_annotations(report).splitlines()
    assert len(lines) == len(report.regressions) + 1
    assert all(re.match(r"::(error|warning) title=[^:,]+::\S", line) for line in lines)
    assert "::warning title=debian%3A5.10 gcc cells 1::No disk.%0AMake room." in lines


def test_kcidb_of_a_night(report: night.Report) -> None:
    found = json.loads(kcidb.document(report))
    by_path = {(one["path"], one["status"]) for one in found["tests"]}
    assert ("jprobe.stack.none.stack-9", "FAIL") in by_path
    assert ("jprobe.stack.none.stack-10", "PASS") in by_path
    assert ("jprobe.stack.run.complete", "ERROR") in by_path
    builds = {one["id"] for one in found["builds"]}
    assert {one["build_id"] for one in found["tests"]} == builds
    assert {one["checkout_id"] for one in found["builds"]} == {o["id"] for o in found["checkouts"]}
    # Its own schema is what holds it.
    with pytest.raises(InfrastructureError, match="KCIDB would not take"):
        kcidb.document(report, "Not An Origin")


def test_json_of_a_night(report: night.Report) -> None:
    schema = json.loads((Path(night.__file__).parent / "night.schema.json").read_text())
    check = jsonschema.Draft202012Validator(schema)
    document = json.loads(msgspec.json.encode(told.document(report)))
    check.validate(document)
    assert {sort.value for sort in Sort} == set(
        schema["$defs"]["regression"]["properties"]["sort"]["enum"]
    )
    for broken in (
        {"exit_status": 2},
        {"complete": None},
        {"units": [{**document["units"][0], "more": 1}]},
        {"regressions": [{**document["regressions"][0], "sort": "other"}]},
    ):
        assert not check.is_valid({**document, **broken}), broken
