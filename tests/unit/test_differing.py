# SPDX-License-Identifier: GPL-2.0-only
"""What a red run reports: each kind of difference once, the worst first."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.cli import main
from harness.commands.repro import judged
from harness.errors import Exit
from harness.guest.splat import Splat, SplatKind
from harness.model.observation import Look
from harness.model.policy import Policy, Rule
from harness.model.verdict import judge
from harness.nightly import night
from harness.nightly.compare import Place, Regression, Sort
from harness.nightly.outputs import summary
from harness.report import terminal
from harness.report.differing import groups, kind
from harness.run.plan import Outcome, Play
from tests.unit.factory import observe
from tests.unit.nights import MATRIX, cell, done, written
from tests.unit.test_reports import result

NONE, WIDE = Policy(Rule.NONE), Policy(Rule.FIXED, 512)
CASES = ["stack-9", "stack-10", "stack-12", "stack-16", "stack-17", "stack-24", "stack-25"]


def played(variant: str, case: str, guest: Policy) -> Outcome:
    """Return a play in which the guest followed another policy than the variant's."""
    catalog = Catalog()
    play = Play(catalog.variants[variant], catalog.cases[case])
    policy = play.variant.policy
    return Outcome(play, judge(play.case, policy, observe(play.case, guest)))


def died(variant: str, case: str) -> Outcome:
    splat = Splat(SplatKind.OOPS, "Oops", 1, ["Oops"])
    play = played(variant, case, NONE).play
    return Outcome(play, None, ("KernelDied: oops",), (splat,))


LESS = [played("none", case, WIDE) for case in CASES]
MORE = [played("fixed-128", case, NONE) for case in CASES[:3]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("argument 8 (long) is corrupt in byte 0-7, predicted no byte",
         "argument 10 (struct big) is corrupt in byte 3, 5-6, predicted no byte"),
        ("0 bytes were saved, predicted 128", "64 bytes were saved, predicted 512"),
        ("the caller's object held 00ff before it was written to, predicted 1100",
         "the caller's object held deadbeef00 before it was written to, predicted 7a6b"),
    ],
)  # fmt: skip
def test_sentences_of_one_kind(one: str, other: str) -> None:
    assert kind(one) == kind(other) != one


def test_sentences_of_other_kinds() -> None:
    more = "argument 8 (long) is corrupt in byte 0-7, predicted no byte"
    less = "argument 8 (long) is corrupt in no byte, predicted byte 0-7"
    assert kind(more) != kind(less)


def test_the_worst_is_first_and_those_alike_are_together() -> None:
    found = groups([*LESS, *MORE, died("none", "stack-28")])
    assert [(str(group.first.play), len(group.outcomes)) for group in found] == [
        ("none x stack-28", 1),
        ("fixed-128 x stack-9", 3),
        ("none x stack-9", 7),
    ]


def test_each_kind_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_differing([*LESS, *MORE])
    out = capsys.readouterr().out
    assert "\N{NOT EQUAL TO} none x stack-9, and 6 more like it\n" in out
    assert "like it: stack-10, stack-12, stack-16, stack-17, stack-24, stack-25\n" in out
    assert out.count("predicted byte 0-7") == 1
    terminal.print_differing([*LESS, *MORE], everything=True)
    out = capsys.readouterr().out
    assert re.findall(r"none x (\S+)\n", out) == CASES
    assert "like it" not in out


def test_the_commands_take_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One kernel, several, and a nightly run."""
    made = dataclasses.replace(result(), outcomes=(*LESS, *MORE), planned=len(LESS + MORE))
    monkeypatch.setattr(judged, "judge", lambda *words: made)
    cells = [cell(case=case, agrees=False, reasons=["x"]) for case in CASES]
    monkeypatch.setattr(night, "work", lambda unit: done(*cells))
    file, url = str(written(tmp_path, MATRIX)), f"sqlite:///{tmp_path}/h.sqlite"
    for words in (
        ["repro"],
        ["repro", "--kernel", "debian:6.1", "--kernel", "debian:6.12"],
        ["nightly", file, "--store", url],
        ["report", "--store", url],
    ):
        assert main(words) == Exit.DIFFERS
        short = capsys.readouterr().out
        assert "none x stack-" in short
        assert ", and 6 more like it" in short
        assert main([*words, "--all"]) == Exit.DIFFERS
        whole = capsys.readouterr().out
        assert all(f"none x {case}" in whole for case in CASES)
        assert "like it" not in whole


def test_no_difference_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    many = [
        dataclasses.replace(LESS[0], errors=(word * 5,)) for word in "ghijklmnopqrst"
    ]  # fmt: skip
    terminal.print_differing(many)
    out = capsys.readouterr().out
    assert out.count("\N{NOT EQUAL TO}") == terminal.KINDS
    assert f"{len(many) - terminal.KINDS} more differ in 6 more ways; --all prints each." in out
    terminal.print_differing(many, everything=True)
    assert capsys.readouterr().out.count("\N{NOT EQUAL TO}") == len(many)


def test_a_night_reports_cells_before_random_signatures() -> None:
    def one(sort: Sort, case: str, is_: str) -> Regression:
        place = Place("debian:6.1", "gcc", "none", case)
        return Regression(sort, place, "as predicted", is_)

    fuzz = [one(Sort.FUZZ, f"random-1-{n}", f"leak {n}") for n in range(20)]
    cells = [one(Sort.VERDICT, f"stack-{n}", f"leak {n}") for n in (9, 10)]
    dead = one(Sort.KERNEL, "", "KernelDied: oops")
    found = summary.alike([*fuzz, dead, *cells])
    assert [(group[0].sort, len(group)) for group in found] == [
        (Sort.KERNEL, 1), (Sort.VERDICT, 2), (Sort.FUZZ, 20),
    ]  # fmt: skip


def test_what_nobody_would_read_is_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A guest's megabytes: the first of each sort, how many more there are, and where."""
    (first, *_) = LESS
    # The digits have no word boundary behind them.
    said = tuple(f"WARNING: {number} " + "1" * 100_000 + "x" for number in range(1000))
    flooded = dataclasses.replace(first, verdict=None, errors=said)
    terminal.print_differing([flooded], everything=True)
    out = capsys.readouterr().out
    assert "WARNING: 0 111" in out
    assert "... and 98,012 more characters; --json has all" in out
    assert "and 960 more; --json has all" in out
    assert len(out) < 100_000
    assert len("\n".join(terminal.lines(flooded, 80))) < 200_000


def test_a_long_hexdump_ends(capsys: pytest.CaptureFixture[str]) -> None:
    made = Catalog().cases["stack-9"]
    play = Play(Catalog().variants["none"], made)
    before = bytes(1 << 16)
    seen = before[:-3] + b"\1\2\3"
    observation = observe(made, play.variant.policy, area=Look(0, before, before, seen))
    terminal.print_dump(Outcome(play, judge(made, play.variant.policy, observation)))
    out = capsys.readouterr().out
    assert out.count("\n") < 140
    assert "64,512 more bytes, of which 3 differ; all are in the run's records: jprobe-" in out
    assert "0x03f8" in out
    terminal.print_rows("t", ("a", "b"), [("x", "y" * 10**6)])
    assert len(capsys.readouterr().out) < 3000
