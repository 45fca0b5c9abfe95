# SPDX-License-Identifier: GPL-2.0-only
"""The page of what tracers see has the table of the result that is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.report.tracers import documents
from tests import tracers
from tests.unit.traced import every

Json = dict[str, Any]


def cell(document: Json, kernel: str, tracer: str, case: str) -> Json:
    """Return a cell of a result, which may be changed in place."""
    (found,) = [one for one in document["kernels"] if one["kernel"] == kernel]
    (one,) = [one for one in found["cells"] if (one["tracer"], one["case"]) == (tracer, case)]
    made: Json = one
    return made


def test_the_page_has_the_result_that_is_kept() -> None:
    old = tracers.PAGE.read_text()
    assert tracers.page(old, tracers.stored()) == old, "run: python -m tests.tracers"
    assert tracers.kept(tracers.stored()) == tracers.KEPT.read_text()


def read(one: Json) -> None:
    one["read"][8] = "right"


def changed(one: Json) -> None:
    one["changed"] = []


def refused(one: Json) -> None:
    one["refused"] = "no"


@pytest.mark.parametrize(
    ("tracer", "case", "change"),
    [
        ("kprobe", "stack-12", read),
        ("fexit", "struct-16-aligned", changed),
        ("func-args", "by-ref-24", refused),
    ],
)
def test_a_cell_that_is_other_than_it_was_is_found(
    tracer: str, case: str, change: Callable[[Json], None]
) -> None:
    document, old = tracers.stored(), tracers.PAGE.read_text()
    change(cell(document, "debian:7.2", tracer, case))
    assert tracers.page(old, document) != old


def test_what_is_kept_is_what_the_table_needs() -> None:
    found = [every("debian:6.1", (6, 1)), every("debian:6.12", (6, 12)), every()]
    document = tracers.cut(json.loads(json.dumps(documents.document(found))))
    assert json.loads(tracers.kept(document)) == document
    rows = {row[0]: dict(zip(tracers.HEADS, row)) for row in tracers.table(document)}
    # The rules say the same as the guests did.
    real = {row[0]: dict(zip(tracers.HEADS, row)) for row in tracers.table(tracers.stored())}
    assert rows == real


def test_what_the_page_says_below_its_table() -> None:
    rows = {row[0]: dict(zip(tracers.HEADS, row)) for row in tracers.table(tracers.stored())}
    assert rows["kprobe"]["nine or more arguments"] == "zero from the 9th on"
    printed = rows["func-args, funcgraph-args"]
    assert printed["nine or more arguments"] == "absent from the 7th on"
    assert printed["a struct by reference"] == "an address"
    assert printed["behind a struct by reference"] == "another's"
    called = rows["fexit, fmod-ret"]
    assert called["leaves"] == "changes the 11th argument of struct-16-aligned on 7.2"
    assert called["nine or more arguments"] == "6.12: refused; 7.2: right"
    exact = set(list(rows["kprobe-exact"].values())[1:-2])
    assert exact == {"right", "all as passed"}
