# SPDX-License-Identifier: GPL-2.0-only
"""What is made of times and memory, without a guest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness import cli
from harness.cases.catalog import Catalog
from harness.commands import bench
from harness.errors import ConfigError, Exit
from harness.kernel.kernel import Engine
from harness.measure.bench import rounds, works
from harness.measure.bench.command import Timed
from harness.measure.bench.growth import Growth, Point
from harness.measure.bench.peers import PEERS
from harness.measure.bench.peers import Measured as MeasuredPeer
from harness.measure.bench.processes import Memory
from harness.measure.bench.rounds import MIB, Measurement, Taker
from harness.measure.bench.rows import OWN_CELLS, REAL_CELLS, ROWS, WORKS, Quantity, Row
from harness.measure.bench.spread import Spread, spread
from harness.report.bench import tables
from harness.report.bench.tables import Report
from tests import pages
from tests.unit.kernels import made_up

SCHEMA = json.loads((Path(tables.__file__).parent / "schema.json").read_text())
CHECK = jsonschema.Draft202012Validator(SCHEMA)
Json = dict[str, Any]
# Of each of three rounds, after one that is not measured.
BARE = (9, 2, 4, 1)
POINTS = (Point(1, 1.0), Point(1000, 2.0))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3], Spread(3, 3, 3)),
        ([1, 3], Spread(2, 1.5, 2.5)),
        ([5, 1, 4, 2, 3], Spread(3, 2, 4)),
        # One that is far off moves neither.
        ([5000, 1, 4, 2, 3], Spread(3, 2, 4)),
    ],
)
def test_a_spread(values: list[float], expected: Spread) -> None:
    assert spread(values) == expected


def times(seconds: Sequence[float], order: list[str], name: str) -> Callable[[], Timed]:
    left = iter(seconds)

    def take() -> Timed:
        order.append(name)
        taken = next(left)
        return Timed(taken, before=taken / 10, after=taken / 100)

    return take


def takers(order: list[str], **seconds: Sequence[float]) -> dict[str, Taker]:
    return {name: Taker(times(values, order, name)) for name, values in seconds.items()}


def test_a_ratio_is_to_the_bare_boot_of_the_same_round() -> None:
    order: list[str] = []
    row = Row("a", "", "work", Quantity.TIME, 0.5)
    found = rounds.measure([row], takers(order, bare=BARE, work=(99, 1, 1, 1)), 3)
    (measured,) = found.rows
    assert measured.values == (0.5, 0.25, 1)
    assert measured.seconds == (1, 1, 1)
    assert measured.value.median == 0.5
    assert order == ["bare", "work"] * 4


def test_the_quantities() -> None:
    rows = [Row(q.value, "", "work", q, 1) for q in Quantity if q.timed]
    made = takers([], bare=BARE, work=(0, 4, 4, 4))
    made["work"] = replace(made["work"], verdicts=1000)
    found = {one.row.quantity: one.value.median for one in rounds.measure(rows, made, 3).rows}
    assert found == {
        Quantity.TIME: 2,
        Quantity.BEFORE: 0.4,
        Quantity.AFTER: 0.04,
        Quantity.RATE: 250,
    }


def test_memory_is_of_one_run_that_is_not_timed() -> None:
    looks: list[str] = []

    def look(name: str, mib: int) -> Callable[[], Memory]:
        def memory() -> Memory:
            looks.append(name)
            return Memory(tree=200 * MIB, own=mib * MIB)

        return memory

    rows = [
        Row("own", "", "many", Quantity.MEMORY, 150),
        Row("flat", "", "many", Quantity.GROWTH, 1.1, beside="few"),
    ]
    order: list[str] = []
    made = takers(order, bare=BARE, many=(1,), few=(1,))
    made = {
        "bare": made["bare"],
        "many": replace(made["many"], memory=look("many", 60)),
        "few": replace(made["few"], memory=look("few", 40)),
    }
    found = rounds.measure(rows, made, 3)
    assert [one.values for one in found.rows] == [(60.0,), (1.5,)]
    assert [one.met for one in found.rows] == [True, False]
    assert (looks, order) == (["many", "few"], ["bare"] * 4)


def test_a_row_may_be_beside_another_work() -> None:
    """As for two guests at once, which may not take longer than one."""
    row = Row("two-guests", "", "two", Quantity.TIME, 1, beside="one")
    made = takers([], bare=BARE, one=(9, 4, 4, 4), two=(9, 2, 5, 3))
    (measured,) = rounds.measure([row], made, 3).rows
    assert measured.values == (0.5, 1.25, 0.75)
    assert row.unit == "x one"


@pytest.mark.parametrize(
    ("quantity", "found", "met"),
    [
        (Quantity.TIME, 2.0, True),
        (Quantity.TIME, 2.01, False),
        (Quantity.RATE, 2.0, True),
        (Quantity.RATE, 1.99, False),
    ],
)
def test_a_target_is_met_from_one_side(quantity: Quantity, found: float, met: bool) -> None:
    row = Row("a", "", "work", quantity, 2)
    assert rounds.Measured(row, (found,), (1,)).met is met
    assert rounds.Measured(replace(row, target=None), (found,), (1,)).met is None


def test_the_table_of_rows_is_sound() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert {row.work, row.beside} <= WORKS.keys()
        assert WORKS[row.work].verdicts or row.quantity is not Quantity.RATE
        if not row.quantity.timed:
            assert WORKS[row.work].words
    parser = cli.parser()
    for work in WORKS.values():
        if work.words:
            parser.parse_args(list(work.words))


def test_each_cell_is_either_own_or_real() -> None:
    catalog = Catalog()
    own, real = (
        catalog.select_cases(cli.parser().parse_args(list(words)).case)
        for words in (OWN_CELLS, REAL_CELLS)
    )
    assert not any(case.real for case in own)
    assert all(case.real for case in real)
    assert len(own) + len(real) == len(catalog.cases)


def test_a_kernel_without_their_functions_has_no_rows_of_real_cells(tmp_path: Path) -> None:
    native = replace(made_up(tmp_path), engine=Engine.NATIVE)
    catalog = Catalog()
    left = works.playable(ROWS, native, catalog, named=False)
    assert {row.name for row in ROWS} - {row.name for row in left} == {"real", "real-cold"}
    others = [row for row in ROWS if row.name != "real"]
    with pytest.raises(ConfigError, match="no row 'real-cold' of"):
        works.playable(others, native, catalog, named=True)
    assert works.playable(left, native, catalog, named=True) == left


def test_the_page_has_each_row_and_its_target() -> None:
    text = (pages.DOCS / "measuring.md").read_text()
    shown = dict(re.findall(r"^\| `([\w-]+)` \|.*\| ([^|]+) \|$", text, re.M))
    assert shown == {
        row.name: "-" if row.target is None else f"{row.target:,g} {row.unit}" for row in ROWS
    }


def test_timed_commands_choose_the_same_kernel() -> None:
    given = ["--kernel=debian:6.12", "--memory=300", "--make=A=b", "--make=C=d e"]
    parser = cli.parser()
    options = parser.parse_args(["bench", *given, "--kconfig=x", "--boot-deadline=9"])
    passed = parser.parse_args(["fuzz", *bench._passed(options)])
    for name in bench._PASSED:
        assert getattr(passed, name) == getattr(options, name), name


def report() -> Report:
    memory = {"repro": Memory(200 * MIB, 40 * MIB, 150 * MIB, 80 * MIB)}
    made = takers([], **dict.fromkeys(WORKS, (1, 2, 2.5)))
    made = {
        name: replace(one, memory=lambda: memory["repro"], verdicts=10)
        for name, one in made.items()
    }
    found = rounds.measure(ROWS, made, 2)
    measurement = Measurement(found.rounds, found.rows, memory)
    missing, there = PEERS[:2]
    peers = [
        MeasuredPeer(missing, missing="It needs a tree."),
        MeasuredPeer(there, ("vng", "--exec", "a b"), "", (4.0, 6.0), (2.0, 3.0)),
    ]
    return Report(made_up(Path()), measurement, peers)


def of_growth() -> Report:
    return Report(made_up(Path()), growth=Growth(POINTS, 1.0, 0.001))


def as_json(one: Report) -> Json:
    made: Json = json.loads(json.dumps(tables.document(one)))
    return made


def test_json_is_as_the_schema_says() -> None:
    whole = as_json(report())
    CHECK.validate(whole)
    CHECK.validate(as_json(of_growth()))
    assert [row["name"] for row in whole["rows"]] == [row.name for row in ROWS]
    assert whole["rows"][0] | {"shows": ""} == {
        "name": "bare", "shows": "", "unit": "x bare", "median": 1.0, "low": 1.0, "high": 1.0,
        "values": [1.0, 1.0], "seconds": [2, 2.5], "target": None, "better": "less", "met": None,
    }  # fmt: skip
    assert whole["memory"] == [
        {"work": "repro", "tree": 200 * MIB, "own": 40 * MIB, "qemu": 150 * MIB, "clone": 80 * MIB}
    ]


def test_json_that_is_no_measurement() -> None:
    whole, grown = as_json(report()), as_json(of_growth())
    parts: list[tuple[Json, Callable[[Json], Json]]] = [
        (whole["rows"][0], lambda part: {**whole, "rows": [part]}),
        (whole["memory"][0], lambda part: {**whole, "memory": [part]}),
        (whole["peers"][1], lambda part: {**whole, "peers": [part]}),
        (grown["growth"], lambda part: {**grown, "growth": part}),
        (grown, lambda part: part),
    ]
    for part, within in parts:
        assert CHECK.is_valid(within(part))
        assert not CHECK.is_valid(within({**part, "more": 1}))
        for name in part.keys() - {"growth"}:
            less = {key: value for key, value in part.items() if key != name}
            assert not CHECK.is_valid(within(less)), name
            assert not CHECK.is_valid(within({**part, name: [None]})), name
    assert not CHECK.is_valid({**whole, "schema": 1})
    assert not CHECK.is_valid({key: value for key, value in whole.items() if key != "runs"})


def test_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_report(report())
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for row in ROWS:
        assert any(line.startswith(f"{row.name} {row.shows} ") for line in lines), row
    # Of 10 verdicts in 2 and in 2.5 seconds.
    assert any(line.endswith("4.5 /s 4.25 to 4.75 at least 2,500 no") for line in lines)
    assert "repro 200 40 150 80" in lines
    assert "kunit.py: It needs a tree." in lines
    assert "virtme-ng: vng --exec 'a b'" in lines
    assert any("2.5 x bare 2.25 to 2.75" in line for line in lines)


def test_the_tables_of_growth(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_report(of_growth())
    out = capsys.readouterr().out
    assert "1.00 s, and 1 ms for each verdict: 1,000 a second." in out
    flat = Growth(POINTS, 1.0, 0.0)
    assert "do not grow" in tables.growth_sentence(flat)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--row", "one-cel"], "There is no row 'one-cel'. The nearest: one-cell"),
        (["--growth", "x.svg", "--row", "bare"], "--growth is measured by itself."),
        (["--growth", "x.svg", "--growth-max", "100"], "--growth-max: give at least 1000."),
        (["--cold"], "--cold: the rows say which of them are."),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(
    given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", *given]) == Exit.USAGE
    assert sentence in capsys.readouterr().err
