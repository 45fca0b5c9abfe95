# SPDX-License-Identifier: GPL-2.0-only
"""Draws how a run's time grows with the number of its verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from harness import printable
from harness.measure.bench.growth import Growth
from harness.report.bench.tables import growth_sentence, number

# Sizes in pixels.
WIDTH, HEIGHT = 680, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 70, 60
# Steps of the curve in each power of ten.
_STEPS = 20
_TITLE = "Random signatures: seconds from the command to the prompt"

# It has a background of its own, so that it can be read on a page of either colour.
_STYLE = """\
svg { --paper: #fff; --ink: #222; --faint: #ccc; --line: #15c }
@media (prefers-color-scheme: dark) {
 svg { --paper: #1b1d20; --ink: #ddd; --faint: #444; --line: #7af }
}
.paper { fill: var(--paper) }
text { font: 13px sans-serif; fill: var(--ink) }
.name { font-weight: bold }
.value { paint-order: stroke; stroke: var(--paper); stroke-width: 5 }
.grid { stroke: var(--faint); stroke-width: 1 }
.fit { fill: none; stroke: var(--line); stroke-width: 2 }
.point { fill: var(--line); stroke: var(--paper); stroke-width: 1.5 }
"""


class Scale:
    """Powers of ten along an axis, from the one below `least` to the one above `most`."""

    def __init__(self, least: float, most: float, begin: float, end: float) -> None:
        self.first = math.floor(math.log10(least))
        self.last = max(math.ceil(math.log10(most)), self.first + 1)
        self._begin = begin
        self._length = end - begin

    def __call__(self, value: float) -> float:
        """Return where a value is, in pixels."""
        share = (math.log10(value) - self.first) / (self.last - self.first)
        return self._begin + share * self._length

    @property
    def powers(self) -> Sequence[float]:
        return [10.0**power for power in range(self.first, self.last + 1)]


def svg(growth: Growth, release: str) -> str:
    """Return an SVG with a point for each run and the line fitted to them, both axes by powers."""
    points = growth.points
    seconds = [point.seconds for point in points]
    x = Scale(points[0].verdicts, points[-1].verdicts, LEFT, WIDTH - RIGHT)
    y = Scale(min(seconds), max(seconds), HEIGHT - BOTTOM, TOP)
    drawn = [
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        _text(LEFT, 26, _TITLE, "name"),
        _text(LEFT, 46, f"{release}: {growth_sentence(growth)}"),
        *_grid(x, y),
        f'<polyline class="fit" points="{_curve(growth, x, y)}"/>',
    ]
    for point in points:
        at, up = x(point.verdicts), y(point.seconds)
        drawn.append(f'<circle class="point" cx="{at:.1f}" cy="{up:.1f}" r="5"/>')
        drawn.append(_text(at, up - 10, f"{number(point.seconds)} s", "value", "middle"))
    return printable.shown(
        "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
                f' width="{WIDTH}" role="img">',
                f"<title>{_TITLE}</title>",
                f"<style>{_STYLE}</style>",
                *drawn,
                "</svg>",
                "",
            ]
        )
    )


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def _grid(x: Scale, y: Scale) -> Iterator[str]:
    low, high = HEIGHT - BOTTOM, TOP
    for value in x.powers:
        at = x(value)
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{low}" y2="{high}"/>'
        yield _text(at, low + 20, f"{value:,.0f}", "", "middle")
    for value in y.powers:
        at = y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield _text(LEFT - 8, at + 4, f"{value:,g} s", "", "end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "verdicts in one command", "", "middle")


def _curve(growth: Growth, x: Scale, y: Scale) -> str:
    least, most = growth.points[0].verdicts, growth.points[-1].verdicts
    steps = max(1, round(math.log10(most / least) * _STEPS))
    values = (least * (most / least) ** (step / steps) for step in range(steps + 1))
    seconds = ((value, growth.fixed + growth.each * value) for value in values)
    return " ".join(f"{x(value):.1f},{y(time):.1f}" for value, time in seconds if time > 0)
