# SPDX-License-Identifier: GPL-2.0-only
"""Draws the caller's stack at the hit: what each policy saves and leaves corrupt."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from harness import printable
from harness.measure.stack_map import WORD, damaged, parts
from harness.model.case import Case
from harness.model.policy import Hit, Variant
from harness.model.predict import MeasuredFrame, predict

# Sizes in pixels.
COLUMN, BAR, MARGIN, HEAD, FOOT = 150, 96, 90, 44, 40
HEIGHT, WORD_MAX = 420, 18

_STYLE = """\
text { font: 11px sans-serif; fill: currentColor }
.name { font-weight: bold }
.part { fill: #888; fill-opacity: .2; stroke: currentColor; stroke-width: .6 }
.saved { fill: none; stroke: #27c; stroke-width: 3 }
.corrupt { fill: url(#hatch); stroke: #c22; stroke-width: 1.5 }
"""
_HATCH = (
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><rect width="6" height="6" fill="#c22" fill-opacity=".15"/>'
    '<line x1="0" y1="0" x2="0" y2="6" stroke="#c22" stroke-width="3"/></pattern>'
)


def svg(case: Case, variants: Sequence[Variant], hit: Hit, places: MeasuredFrame) -> str:
    """
    Return an SVG with one column for each variant, and SP at the bottom.

    A frame marks what is saved and put back, hatching what stays corrupt.
    """
    found = sorted(parts(case, hit, places), key=lambda part: part.start)
    extent = max([part.end for part in found], default=WORD) + WORD
    scale = min(HEIGHT / extent, WORD_MAX / WORD)
    bottom = HEAD + extent * scale
    width, height = MARGIN + COLUMN * len(variants), bottom + FOOT

    def box(kind: str, x: float, start: int, end: int, inset: float = 0) -> str:
        return (
            f'<rect class="{kind}" x="{x - inset:.1f}" y="{bottom - end * scale:.1f}"'
            f' width="{BAR + 2 * inset:.1f}" height="{(end - start) * scale:.1f}"/>'
        )

    def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
        return (
            f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    drawn = [text(4, bottom + 12, "SP"), text(4, 16, case.name, "name")]
    for part in found:
        if (part.end - part.start) * scale >= 10:
            middle = bottom - (part.start + part.end) / 2 * scale
            drawn.append(text(4, middle + 4, part.label))
    for number, variant in enumerate(variants):
        x = MARGIN + COLUMN * number
        prediction = predict(case, variant.expected, hit, places)
        drawn.append(text(x + BAR / 2, 34, variant.name, "name", "middle"))
        drawn += [box("part", x, part.start, part.end) for part in found]
        wrong = damaged(case, hit, places, prediction.corrupt, prediction.lost)
        drawn += [box("corrupt", x, *span) for span in wrong]
        for start, end in prediction.saved:
            low, high = max(start - hit.sp, 0), min(end - hit.sp, extent)
            if low < high:
                drawn.append(box("saved", x, low, high, inset=3))
        drawn.append(text(x + BAR / 2, bottom + 18, prediction.label, "", "middle"))
        saved = f"saves {prediction.window} bytes" if prediction.runs else "no handler"
        drawn.append(text(x + BAR / 2, bottom + 32, saved, "", "middle"))
    title = f"{case.name}: what each stack policy saves and leaves corrupt"
    drawing = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}"'
            f' width="{width}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style><defs>{_HATCH}</defs>",
            *drawn,
            "</svg>",
            "",
        ]
    )
    return printable.shown(drawing)
