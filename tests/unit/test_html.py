# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run as one HTML file: all of it is there, and nothing of it is markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from harness.nightly import compare
from harness.nightly.compare import Place
from harness.nightly.night import Report
from harness.nightly.outputs import html
from harness.nightly.outputs.html import Line, Past
from harness.nightly.store import Baseline, NightlyRun
from harness.nightly.unit import (
    Cell,
    Complaint,
    Done,
    HitCost,
    Picture,
    SurveyResult,
    Unit,
    UnitEnvironment,
    UnitKind,
    result,
)
from harness.tracers.cell import Status
from tests.unit.nights import SURVEY, surveyed, traced, tracing

NASTY = "</script><img src=x onerror=alert(1)>"
FACTS = UnitEnvironment(
    release="6.1", version="1", key="k", engine="port", compiler="gcc", qemu="7", harness="0"
)
NIGHT = NightlyRun(id=2, name="n", matrix="m", shows="a test", started=0, ended=1)
UNIT = Unit(
    kernel="debian:6.1",
    compiler="gcc",
    kind=UnitKind.CELLS,
    variants=["none", "fixed-128"],
    deadline=60,
)


def cell(variant: str, case: str, size: int) -> Cell:
    return Cell(
        variant=variant, case=case, classes={"leak": size} if size else {}, agrees=True,
        reasons=[], damage={"argument 8": [[0, size]]} if size else {},
        looks={"area": {"before": "00" * 8, "seen": "ff" * 8, "predicted": "ff" * 8}},
        picture=Picture(parts=[(0, 8, "argument 8")], saved=0, corrupt=[(0, size)]),
    )  # fmt: skip


def played(*cells: Cell, **fields: Any) -> Done:
    given = {"facts": FACTS, "cells": list(cells), "planned": len(cells), "played": len(cells)}
    return result(UNIT, 0.0, 1.0, **given | fields)


BEFORE = [played(cell("none", "stack-9", 8), cell("fixed-128", "stack-9", 0))]
NOW = [played(cell("none", "stack-9", 8), cell("fixed-128", "stack-9", 4))]


def report(results: list[Done] = NOW) -> Report:
    found = compare.regressions(results, BEFORE)
    baseline = Baseline(night=1, who="me", why="first", accepted=0)
    return Report(NIGHT, (UNIT,), results, baseline, BEFORE, 0, found)


def page(results: list[Done] = NOW) -> str:
    nights = [replace(NIGHT, id=1), NIGHT]
    return html.document(report(results), Past(nights, [BEFORE, results]))


def embedded(text: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert match
    data: dict[str, Any] = json.loads(match[1])
    return data


class Elements(HTMLParser):
    """The elements of a page, with their IDs and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        for name, value in attributes:
            if name in ("href", "src"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def test_all_of_a_nightly_run_is_there() -> None:
    text = page()
    data = embedded(text)
    assert data["columns"] == [["debian:6.1 gcc", "none"], ["debian:6.1 gcc", "fixed-128"]]
    assert data["cases"] == ["stack-9"]
    # The second cell has changed.
    assert [row[3] for row in data["cells"]] == [0, 1]
    assert data["details"][1]["seen"] == "leak 4"
    assert data["details"][1]["picture"]["parts"] == [[0, 8, "argument 8"]]
    assert data["history"] == {"debian:6.1 gcc|fixed-128|stack-9": [[0, "intact"], [1, "leak 4"]]}
    assert "intact → leak 4" in text
    assert "1 regression against nightly run 1, accepted by me (first)." in text
    assert "0 of 1" in text


def test_it_needs_nothing_else() -> None:
    found = Elements(page())
    assert all(link.startswith(("#", "data:")) for link in found.links), found.links
    assert len(found.ids) == len(set(found.ids))
    assert "#cell=debian%3A6.1+gcc%7Cfixed-128%7Cstack-9" in found.links


def test_nothing_of_it_is_markup() -> None:
    one = Complaint(
        kind="BUG", title=NASTY, fingerprint="f", text=NASTY, variant="none", case=NASTY
    )
    nasty = played(
        replace_cell(cell("none", NASTY, 8), reasons=[NASTY], agrees=False),
        complaints=[one],
        harness_errors=[NASTY],
    )
    tracers = tracing(traced(NASTY, NASTY, damage={NASTY: [[0, 1]]}))
    text = page([nasty, surveyed(survey_of(NASTY)), tracers])
    shown = text.count("&lt;img src") - page([nasty]).count("&lt;img src")
    of_survey = ("reason", "variant", "function", "module", "prototype", "type")
    assert shown == len((*of_survey, "tracer", "changes it", "argument", "case"))
    assert NASTY not in text
    clean, dirty = Elements(page()).names, Elements(text).names
    assert "img" not in dirty
    assert dirty.count("script") == clean.count("script") == 2
    (case,) = embedded(text)["cases"]
    assert case == NASTY


def replace_cell(cell: Cell, **fields: Any) -> Cell:
    return msgspec.structs.replace(cell, **fields)


def survey_of(name: str) -> SurveyResult:
    """Return a survey in which all that has a name has this one."""
    replace = msgspec.structs.replace
    return replace(
        SURVEY,
        unread={name: 1},
        variants=[replace(one, variant=name) for one in SURVEY.variants],
        worst=[replace(one, name=name, module=name, prototype=name) for one in SURVEY.worst],
        aggregates=[replace(one, type=name) for one in SURVEY.aggregates],
    )


def test_of_repetitions_the_one_that_differs_is_shown() -> None:
    odd = replace_cell(cell("none", "stack-9", 6), agrees=False)
    for results in ([NOW[0], played(odd)], [played(odd), NOW[0]]):
        found = html._Page(report(results), Past([], []))
        assert found.cells[Place("debian:6.1", "gcc", "none", "stack-9")] == odd


def test_costs_are_drawn() -> None:
    costs = [HitCost(variant="none", instructions=1000, saved=0),
             HitCost(variant="fixed-128", instructions=2000, saved=128)]  # fmt: skip
    text = page([NOW[0], played(costs=costs)])
    assert "What a hit costs" in text
    assert 'style="width: 50.0%"' in text
    assert "What a hit costs" not in page()


def tables(text: str, title: str = "survey-title") -> dict[str, list[list[str]]]:
    """Return the cells of each row of the tables of a page's section, by caption."""
    section = text.partition(f'<section aria-labelledby="{title}">')[2].partition("</section>")[0]
    found = {}
    for table in re.findall(r"<table.*?</table>", section, re.S):
        caption = re.search("<caption>(.*?)</caption>", table)
        rows = [
            re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", row) for row in table.split("</tr>")[:-1]
        ]
        found[caption[1] if caption else ""] = rows
    return found


def test_tracers_are_shown() -> None:
    cells = (
        traced(damage={"argument 8": [[0, 8]]}),
        traced(case="stack-8", refused="load: EINVAL", reads=[]),
        traced("kprobe", status=Status.UNPREDICTED),
    )
    text = page([NOW[0], tracing(*cells)])
    (rows,) = tables(text, "tracers-title").values()
    assert rows == [
        ["tracer", "right", "truncated", "an address", "zero", "another&#39;s", "absent", "refused",
         "changed", "as predicted"],
        ["fexit", "8", "0", "0", "1", "0", "0", "1", "1", "2 of 2"],
        ["kprobe", "8", "0", "0", "1", "0", "0", "0", "0", "0 of 1, 1 not predicted"],
    ]  # fmt: skip
    assert text.count("<li>fexit changes argument 8 of stack-9</li>") == 1
    # The map is that of variants.
    data = embedded(text)
    assert len(data["cells"]) == 2
    assert data["cases"] == ["stack-9"]
    assert "tracers-title" not in page()


def test_a_survey_is_shown() -> None:
    text = page([NOW[0], surveyed()])
    found = tables(text)
    assert found[""][1] == [
        "debian:6.1", "6.1", "9,000", "8,000", "700", "200", "90", "10"
    ]  # fmt: skip
    assert found["what may come of a handler that assigns to all that it gets, in functions"] == [
        ["variant", "as passed", "leak", "by-ref", "skipped", "overflow", "rollback", "not known",
         "safe"],
        ["none", "8,090", "700", "200", "0", "0", "0", "100", "8,000"],
    ]  # fmt: skip
    histogram = found["functions by bytes on the stack"]
    assert [row[:2] for row in histogram[1:]] == [["8", "600"], ["144", "100"]]
    assert "width: 16.7%" in histogram[2][2]
    worst = found["most bytes on the stack"]
    assert worst[1:] == [["144", "gpu", "get8"], ["int get8(int a, struct big b)"]]
    assert found["largest by reference"][1:] == [["struct big", "1,024", "3"]]
    assert "of the image and of 3 modules.\nLeft out: 2 modules (it has no BTF)." in text
    title = text.index("Where the kernels' functions take their arguments")
    assert text.index("Every cell") < title < text.index(">Units<")
    assert "survey-title" not in page()


def test_a_survey_of_a_kernel_with_little() -> None:
    empty = SurveyResult(
        functions=1, in_registers=1, stacked=0, by_reference=0, variadic=0, unknown=0, modules=1,
        histogram=[], variants=[], worst=[], aggregates=[],
    )  # fmt: skip
    text = page([NOW[0], surveyed(empty)])
    assert tables(text).keys() == {""}
    assert "of the image and of 1 module.\n</p>" in text


@pytest.mark.parametrize(
    ("seen", "expected"),
    [("intact", "intact"), ("leak 8", "leak"), ("leak 32 by-ref 64", "leak+by-ref"),
     ("no verdict", "no+verdict"), ("missed overflow 256", "missed+overflow")],
)  # fmt: skip
def test_what_was_seen_without_its_numbers(seen: str, expected: str) -> None:
    assert html.kind(seen) == expected


def test_a_line_over_nightly_runs() -> None:
    assert Line("x", (1.0, None, 3.0)).points == [(0, html.SPARK_HEIGHT), (html.SPARK_WIDTH, 0)]
    # Values that hardly change make an almost level line.
    (_, first), (_, second) = Line("x", (1000.0, 1001.0)).points
    assert abs(first - second) < 1
    assert Line("x", ()).points == []
