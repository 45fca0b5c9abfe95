# SPDX-License-Identifier: GPL-2.0-only
"""The slope of a run's time, and its picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from harness.measure.bench import growth
from harness.measure.bench.command import Timed
from harness.measure.bench.growth import Point
from harness.report.bench import growth_picture

SVG = "{http://www.w3.org/2000/svg}"
EXACT = [Point(n, 0.5 + 0.0004 * n) for n in growth.counts(100_000)]


def test_counts_are_powers_of_ten() -> None:
    assert growth.counts(1000) == [1, 10, 100, 1000]
    assert growth.counts(9999) == [1, 10, 100, 1000]


def test_the_line_of_exact_points() -> None:
    found = growth.fitted(EXACT)
    assert found.fixed == pytest.approx(0.5)
    assert found.each == pytest.approx(0.0004)


def test_one_time_that_is_a_tenth_off_moves_the_line_by_no_more() -> None:
    for index, point in enumerate(EXACT):
        moved = [*EXACT]
        moved[index] = Point(point.verdicts, point.seconds * 1.1)
        found = growth.fitted(moved)
        assert found.fixed == pytest.approx(0.5, rel=0.1)
        assert found.each == pytest.approx(0.0004, rel=0.1)
        assert found != growth.fitted(EXACT)


def test_what_a_compiler_does_is_done_before() -> None:
    runs: list[int] = []

    def run(verdicts: int) -> Timed:
        # Modules are built at the first run with so many signatures to compile.
        builds = verdicts <= 100 and verdicts not in runs
        runs.append(verdicts)
        return Timed(0.5 + 0.001 * verdicts + 20 * builds)

    found = growth.measure(run, 1000)
    assert runs == [1, 10, 100, 1, 10, 100, 1000]
    assert found.fixed == pytest.approx(0.5)
    assert found.each == pytest.approx(0.001)


def drawn(points: list[Point]) -> ElementTree.Element:
    return ElementTree.fromstring(growth_picture.svg(growth.fitted(points), "a & b"))


def numbers(root: ElementTree.Element, kind: str, *names: str) -> list[list[float]]:
    found = (one for one in root.iter() if one.get("class") == kind)
    return [[float(one.get(name, "")) for name in names] for one in found]


def test_a_point_is_where_the_grid_says() -> None:
    root = drawn(EXACT)
    points = numbers(root, "point", "cx", "cy")
    grid = numbers(root, "grid", "x1", "x2", "y1", "y2")
    columns = [x for x, end, _, _ in grid if x == end]
    rows = [y for _, _, y, end in grid if y == end]
    # One verdict and each power of ten are on a line; 0.5 to 40.5 s are within 0.1 and 100.
    assert [x for x, _ in points] == pytest.approx(columns)
    assert len(rows) == 4
    assert all(min(rows) < y < max(rows) for _, y in points)
    # 100,000 verdicts took 40.5 s, six tenths of the way from 10 to 100 by powers.
    (bottom, top), y = sorted(rows)[1::-1], points[-1][1]
    assert (bottom - y) / (bottom - top) == pytest.approx(0.607, abs=0.01)


def test_exact_points_are_on_the_curve() -> None:
    root = drawn(EXACT)
    (line,) = root.iter(f"{SVG}polyline")
    curve = [tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()]
    for x, y in numbers(root, "point", "cx", "cy"):
        assert min(abs(x - a) + abs(y - b) for a, b in curve) < 0.3
    off = [*EXACT[:-1], Point(100_000, 80.0)]
    assert numbers(drawn(off), "point", "cx", "cy")[-1] != numbers(root, "point", "cx", "cy")[-1]


def test_it_can_be_read_on_a_page_of_either_colour() -> None:
    text = growth_picture.svg(growth.fitted(EXACT), "a & b")
    assert "a &amp; b" in text
    light, _, dark = text.partition("prefers-color-scheme: dark")
    used = set(re.findall(r"var\(--(\w+)\)", text))
    assert used
    for part in (light, dark.partition("}")[0]):
        assert set(re.findall(r"--(\w+):", part)) == used
    # All words have a colour, and all are on paper.
    root = ElementTree.fromstring(text)
    (paper,) = (one for one in root.iter(f"{SVG}rect"))
    assert paper.get("class") == "paper"
    for words in root.iter(f"{SVG}text"):
        assert 0 <= float(words.get("x", "")) <= float(paper.get("width", ""))
        assert 0 <= float(words.get("y", "")) <= float(paper.get("height", ""))
