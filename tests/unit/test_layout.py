# SPDX-License-Identifier: GPL-2.0-only
"""Frames as compilers make them, as observations show them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from harness.errors import ConfigError
from harness.measure.facts import CopyPlace, measured
from harness.measure.layout import copied, findings, frames
from harness.model.policy import Policy, Rule, Variant
from harness.model.verdict import judge
from harness.report import layout_report, summaries
from harness.run.plan import Outcome, Play
from harness.run.result import Result
from harness.toolchain.compiler import GCC, Compiler, named
from tests.unit.factory import HIT, SP, case, observe

TEXT = """
types: {big: ["long[3]"]}
arguments: [8 x long, long, big]
handler: {assign: all}
"""
MADE = case(TEXT)
FP_DELTA = Variant("fp-delta", Policy(Rule.FP_DELTA, 128), "FP - SP", "the review")
NONE = Variant("none", Policy(Rule.NONE), "nothing", "v4.8")


def result(fp: int, private_copies: tuple[int, ...] = ()) -> Result:
    """The copy lies at SP + 512."""
    hit = dataclasses.replace(HIT, fp=SP + fp)
    outcomes = []
    for variant in (NONE, FP_DELTA):
        seen = observe(MADE, variant.policy, hit)
        verdict = judge(MADE, variant.policy, seen, private_copies)
        outcomes.append(Outcome(Play(variant, MADE), verdict))
    return Result("debian:6.1", "6.1.0", "port", "cc 1.0", tuple(outcomes), len(outcomes))


def test_what_is_measured() -> None:
    facts = measured(MADE, observe(MADE, NONE.policy, dataclasses.replace(HIT, fp=SP + 16)))
    assert (facts.hit.sp, facts.fp_minus_sp, facts.area) == (SP, 16, 16)
    assert facts.copies == (CopyPlace(argument=9, size=24, from_sp=512, from_fp=496),)


@pytest.mark.parametrize(("fp", "inside"), [(16, 0), (512, 0), (535, 0), (536, 1), (1000, 1)])
def test_a_copy_between_sp_and_fp(fp: int, inside: int) -> None:
    (frame,) = frames(result(fp))
    assert frame.facts.covers(frame.facts.copies[0]) is bool(inside)
    text = " ".join(findings([frame]))
    assert f"Of 1 by-reference copies, {inside} lie between SP and FP, and 0 within" in text


def test_the_area_is_covered_or_not() -> None:
    assert "covers the stacked arguments in 0 of 1" in " ".join(findings(frames(result(8))))
    text = " ".join(findings(frames(result(16))))
    assert "covers the stacked arguments in 1 of 1 cases, in 1 of them" in text
    assert "in 1 of 1 cases, in 0 of them" in " ".join(findings(frames(result(136))))


def test_what_was_copied() -> None:
    none, delta = copied(result(64).outcomes)
    assert (none.most, delta.least, delta.most, delta.skipped) == (0, 64, 64, 0)
    _, delta = copied(result(256).outcomes)
    assert (delta.hits, delta.skipped) == (1, 1)


def test_a_copy_that_the_handler_keeps() -> None:
    """The function sees what was passed, and a guest that shows a leak is red."""
    leaks, _ = result(64, private_copies=(8,)).outcomes
    assert leaks.verdict
    assert "argument 8 (long) is corrupt in byte 0-7, predicted no byte" in leaks.reasons
    assert summaries.private_copies(result(64, private_copies=(8,)).outcomes) == ["made-up"]
    assert summaries.private_copies(result(64).outcomes) == []


def test_reports(capsys: pytest.CaptureFixture[str]) -> None:
    results = {"gcc": result(16), "clang": result(1000)}
    gcc, clang = json.loads(json.dumps(layout_report.document(results)))["compilers"]
    assert gcc["frames"][0]["copies"][0]["from_fp"] == 496
    assert clang["copied"][1]["skipped"] == 1
    layout_report.print_layouts(results)
    text = capsys.readouterr().out
    assert "SP+512 FP+496" in text
    assert "SP+512 FP-488" in text
    assert "clang (cc 1.0)" in text
    assert "fp-delta  16   0, 1 skipped" in text


@pytest.mark.parametrize(
    ("name", "compiler"),
    [
        ("gcc", GCC),
        ("gcc-14", Compiler("aarch64-linux-gnu-gcc-14")),
        ("clang", Compiler("clang", clang=True)),
        ("clang-16", Compiler("clang-16", clang=True)),
        ("aarch64-none-linux-gnu-gcc", Compiler("aarch64-none-linux-gnu-gcc")),
        ("/opt/llvm/bin/clang", Compiler("/opt/llvm/bin/clang", clang=True)),
    ],
)
def test_compilers_by_name(name: str, compiler: Compiler) -> None:
    assert named(name) == compiler


@pytest.mark.parametrize("name", ["tcc", "gcc -O3", "", "clang++"])
def test_no_such_compiler(name: str) -> None:
    with pytest.raises(ConfigError, match="There is no compiler"):
        named(name)
