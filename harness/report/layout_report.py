# SPDX-License-Identifier: GPL-2.0-only
"""Reports how compilers lay out the same calls, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.measure.facts import FrameLayout
from harness.measure.layout import CallLayout, Copied, copied, findings, frames
from harness.report import summaries
from harness.report.terminal import COMPLAINT, console, print_differing, print_rows, say
from harness.run.logs import see
from harness.run.result import Result


def document(results: Mapping[str, Result]) -> dict[str, Any]:
    """Return a JSON document of the layouts, by the compiler's name."""
    return {
        "schema": 2,
        "compilers": [
            {
                "name": name,
                "version": result.compiler,
                "kernel": result.release,
                "agree": len(result.outcomes) - len(result.differing),
                "planned": result.planned,
                "frames": [_row(frame) for frame in frames(result)],
                "copied": [asdict(row) for row in copied(result.outcomes)],
                "findings": findings(frames(result)),
            }
            for name, result in results.items()
        ],
    }


def _row(frame: CallLayout) -> dict[str, Any]:
    return {
        "case": frame.case.name,
        **summaries.frame_row(frame.facts),
        "private_copies": sorted(frame.private_copies),
    }


def _cells(frame: CallLayout | None) -> list[str]:
    if frame is None:
        return ["-", "-"]
    if not frame.case.valid_fp:
        return ["invalid", ", ".join(f"SP{copy.from_sp:+d}" for copy in frame.facts.copies)]
    return [str(frame.facts.fp_minus_sp), _copies(frame.facts)]


def _copies(facts: FrameLayout) -> str:
    places = (f"SP{copy.from_sp:+d} FP{copy.from_fp:+d}" for copy in facts.copies)
    return ", ".join(places)


def _copied(row: Copied | None) -> str:
    if row is None:
        return "-"
    text = summaries.span(row.least, row.most)
    return f"{text}, {row.skipped} skipped" if row.skipped else text


def print_layouts(results: Mapping[str, Result]) -> None:
    """Print the frames and the bytes copied, then findings, each by compiler."""
    by_compiler = {
        name: {frame.case.name: frame for frame in frames(result)}
        for name, result in results.items()
    }
    shown = {
        frame.case.name: frame.facts.area
        for by_case in by_compiler.values()
        for frame in by_case.values()
        if frame.facts.area or frame.facts.copies
    }
    header = ["case", "stacked"]
    for name in results:
        header += [f"{name}: FP - SP", "copies"]
    print_rows(
        "the caller's frame at the hit, in bytes",
        header,
        [
            (case, str(area or ""), *(c for f in by_compiler.values() for c in _cells(f.get(case))))
            for case, area in shown.items()
        ],
    )
    out = console()
    out.print()
    sizes = [{row.variant: row for row in copied(r.outcomes)} for r in results.values()]
    variants = list(dict.fromkeys(variant for by_variant in sizes for variant in by_variant))
    print_rows(
        "bytes copied at a hit",
        ["variant", *results],
        [(v, *(_copied(by_variant.get(v)) for by_variant in sizes)) for v in variants],
    )
    for name, result in results.items():
        out.print()
        say(f"{name} ({result.compiler})", "bold")
        for sentence in findings(list(by_compiler[name].values())):
            say(sentence, depth=2)
        say(summaries.summary(result), depth=2)
        _print_differing(result)


def _print_differing(result: Result) -> None:
    print_differing(result.differing)
    for complaint in summaries.few(summaries.run_complaints(result)):
        say(complaint, COMPLAINT, depth=2)
    if result.exit_status:
        say(see(result.logs), depth=2)
