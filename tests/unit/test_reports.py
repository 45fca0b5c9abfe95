# SPDX-License-Identifier: GPL-2.0-only
"""The reports, read back by their formats' own rules."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import harness
from harness.abi.ctype import BOOL, VA_LIST
from harness.cases.catalog import Catalog
from harness.cli import main
from harness.commands.repro import judged
from harness.errors import Exit
from harness.guest.splat import Splat, SplatKind
from harness.model.assumed import RecordPosition, lay_out
from harness.model.observation import Counts
from harness.model.policy import Policy, Rule, Variant
from harness.model.verdict import judge
from harness.report import kernels_report, patch_report, summaries, terminal
from harness.report.formats import json_report, junit, ktap
from harness.run.plan import Outcome, Play, plays
from harness.run.result import Comparison, KernelError, Result, Unjudged
from tests.unit.factory import HIT, case, observe
from tests.unit.standin import source_tree
from tests.unit.test_patches import DIFF

FORMATS = Path(harness.__file__).parent / "report/formats"
SCHEMA = json.loads((FORMATS / "schema.json").read_text())
COMPARISON = json.loads((FORMATS / "comparison.schema.json").read_text())


def result(
    *,
    broken: bool = False,
    missing: int = 0,
    kernel: tuple[str, ...] = (),
    own: tuple[str, ...] = (),
) -> Result:
    catalog = Catalog()
    plan = plays(
        catalog.select_variants(["none", "fixed-64"]),
        catalog.select_cases(["stack-9", "by-ref-24"]),
    )
    outcomes = []
    for play in plan[: len(plan) - missing]:
        policy = play.variant.policy
        changes: dict[str, Any] = {"overflow": 3} if broken and play is plan[0] else {}
        verdict = judge(play.case, policy, observe(play.case, policy, **changes))
        outcomes.append(Outcome(play, verdict))
    if broken:
        splat = Splat(SplatKind.OOPS, "Oops \x00", 2, ["Oops \x00", "Call trace:"])
        outcomes[1] = Outcome(plan[1], None, ("KernelDied: oops",), (splat,))
    return Result(
        spec="debian:6.1",
        release="6.1.0",
        engine="port",
        compiler="gcc",
        outcomes=tuple(outcomes),
        planned=len(plan),
        kernel_errors=tuple(KernelError("WARNING", text) for text in kernel),
        harness_errors=own,
        logs="somewhere",
    )


def sabotaged(case_name: str, policy: Policy, guest: Policy, **changes: Any) -> Outcome:
    """Return a play in which the guest does something else than was predicted."""
    made = Catalog().cases[case_name]
    play = Play(Variant("made-up", policy, "", ""), made)
    return Outcome(play, judge(made, policy, observe(made, guest, **changes)))


NONE, FIXED = Policy(Rule.NONE), Policy(Rule.FIXED, 128)


@pytest.mark.parametrize(
    ("case_name", "policy", "guest", "seen"),
    [
        # The predicted corruption is missing, and there is one that was not predicted.
        ("stack-9", NONE, FIXED, "intact"),
        ("stack-9", FIXED, NONE, "leak 8"),
        ("rollback-counter-handler", NONE, Policy(Rule.THREAD_SIZE), "rollback 8"),
        ("rollback-counter-handler", Policy(Rule.THREAD_SIZE), NONE, "intact"),
        ("irq-read-only", Policy(Rule.V15, 128), FIXED, "intact"),
    ],
)
def test_a_cell_shows_what_was_seen(
    case_name: str, policy: Policy, guest: Policy, seen: str
) -> None:
    irq = dataclasses.replace(HIT, irq=case_name.startswith("irq"))
    outcome = sabotaged(case_name, policy, guest, hit=irq)
    assert not outcome.agrees
    assert summaries.cell(outcome) == seen
    assert summaries.label(outcome) == seen.partition(" ")[0]


@pytest.mark.parametrize("variant", Catalog().variants.values(), ids=lambda made: made.name)
def test_what_agrees_was_seen_in_the_class_that_was_predicted(variant: Variant) -> None:
    for made in Catalog().cases.values():
        if {VA_LIST, BOOL} & {argument.type for argument in made.arguments}:
            # The factory makes no observations of these.
            continue
        hit, _ = lay_out(made, RecordPosition.BELOW)
        verdict = judge(made, variant.policy, observe(made, variant.policy, hit))
        assert verdict.agrees, (made.name, verdict.mismatches)
        assert summaries.label(Outcome(Play(variant, made), verdict)) == verdict.label


def test_what_was_not_played_as_planned_has_no_verdict() -> None:
    twice = Counts(hits=2, handler=2, target=2, missed=0, skipped=0)
    outcome = sabotaged("stack-9", NONE, NONE, counts=twice)
    assert summaries.cell(outcome) == summaries.label(outcome) == "no verdict"
    document = json_report.document(dataclasses.replace(result(), outcomes=(outcome,)))
    jsonschema.validate(document, SCHEMA)
    (row,) = document["verdicts"]
    assert (row["class"], row["agrees"]) == (None, False)
    # It does not rank above a cell with a verdict.
    good = sabotaged("stack-9", NONE, NONE)
    before, after = (dataclasses.replace(result(), outcomes=(one,)) for one in (good, outcome))
    assert patch_report.changes(before, after)[0].effect is patch_report.Effect.WORSE


def test_the_numbers_of_a_summary_add_up() -> None:
    outcomes = (
        sabotaged("stack-9", NONE, NONE),
        sabotaged("stack-9", FIXED, FIXED),
        sabotaged("stack-9", NONE, FIXED),
        sabotaged("stack-9", FIXED, NONE),
    )
    made = dataclasses.replace(result(), outcomes=outcomes, planned=5)
    assert summaries.summary(made) == (
        "2 of 5 verdicts as predicted (1 intact, 1 leak); 2 not as predicted; 1 not played."
    )
    summary = json_report.document(made)["summary"]
    assert sum(summary["classes"].values()) == summary["agree"] == 2
    wrong = dataclasses.replace(made, outcomes=outcomes[2:], planned=2)
    assert summaries.summary(wrong) == "0 of 2 verdicts as predicted; 2 not as predicted."


ALL = [result(), result(broken=True), result(missing=1), result(missing=4, own=("gone\nnow",))]


@pytest.mark.parametrize("made", ALL)
def test_json_is_as_the_schema_says(made: Result) -> None:
    document = json_report.document(made)
    jsonschema.validate(json.loads(json.dumps(document)), SCHEMA)


def test_json_reports_bytes() -> None:
    document = json_report.document(result())
    leak = next(v for v in document["verdicts"] if (v["variant"], v["case"]) == ("none", "stack-9"))
    assert leak["class"] == "leak"
    assert leak["arguments"] == [
        {"index": 8, "type": "long", "predicted": [[0, 8]], "observed": [[0, 8]]}
    ]
    assert document["summary"]["classes"] == {"by-ref": 2, "intact": 1, "leak": 1}


def test_the_price_of_putting_back() -> None:
    made = case("{arguments: [9 x long], object: {kind: counter, writer: cpu}}", "counted")
    outcomes = []
    for name, policy in (("none", Policy(Rule.NONE)), ("all", Policy(Rule.THREAD_SIZE))):
        play = Play(Variant(name, policy, "", ""), made)
        outcomes.append(Outcome(play, judge(made, policy, observe(made, policy))))
    none, everything = summaries.prices(outcomes)
    assert dataclasses.astuple(none)[1:] == (0, 0, 0, 1, 0)
    assert dataclasses.astuple(everything)[1:] == (4096, 4096, 4096, 1, 1)
    assert summaries.prices(result().outcomes) == []


@pytest.mark.parametrize("made", ALL)
def test_junit_counts_itself(made: Result) -> None:
    root = ElementTree.fromstring(junit.document(made))
    assert len(root.findall(".//failure")) == int(root.attrib["failures"])
    if made.complete:
        assert len(root.findall("testcase")) == made.planned + len(made.errors)


def check_ktap(lines: list[str], indent: str = "") -> None:
    """Check the grammar of Documentation/dev-tools/ktap.rst: version, plan, numbers in order."""
    own = [line.removeprefix(indent) for line in lines if not line.startswith(indent + "  ")]
    assert own[0] == "KTAP version 1"
    plan = next(line for line in own if line.startswith("1.."))
    results = [m for line in own if (m := re.match(r"(?:not )?ok (\d+)( - \S| [^#\n]+)", line))]
    assert [int(m[1]) for m in results] == list(range(1, int(plan[3:]) + 1))
    nested: list[str] = []
    for line in lines[1:]:
        if line.startswith(f"{indent}  "):
            nested.append(line)
        elif nested and re.match(r"(?:not )?ok ", line.removeprefix(indent)):
            check_ktap(nested, f"{indent}  ")
            nested = []
    assert not nested
    for line in own:
        assert re.match(r"KTAP version 1$|1\.\.\d+$|# |(not )?ok \d+ ", line), line


@pytest.mark.parametrize("made", ALL)
def test_ktap_is_well_formed(made: Result) -> None:
    lines = ktap.document(made).splitlines()
    check_ktap(lines)
    blocks: list[list[str]] = []
    for line in lines:
        if line == "  KTAP version 1":
            blocks.append([])
        if line.startswith("  "):
            blocks[-1].append(line)
    for block in blocks:
        check_ktap(block, "  ")
    failed = any(line.startswith("not ok") for line in lines)
    assert failed == (made.exit_status is not Exit.AGREES)


def test_exit_statuses() -> None:
    assert [made.exit_status for made in ALL] == [0, 1, 3, 3]
    assert result(kernel=("at boot",)).exit_status is Exit.DIFFERS


def test_the_table_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_result(result(broken=True))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "leak 8" in out
    assert "\N{NOT EQUAL TO} no verdict" in out
    summary = "2 of 4 verdicts as predicted (2 by-ref); 2 not as predicted."
    assert summary in out.splitlines()
    assert "See: jprobe-harness log somewhere" in out
    assert "Look inside: jprobe-harness repro --kernel debian:6.1 --variant" in out


def test_the_dump_marks_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = next(o for o in result().outcomes if summaries.cell(o) == "leak 8")
    terminal.print_dump(outcome)
    out = capsys.readouterr().out
    assert "argument area, from SP" in out
    assert re.search(r"0x0000 +2a +35 .*\[d5\]\[ca\]", out)


def test_a_play_reported_elsewhere_is_reported_there_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = next(o for o in result().outcomes if summaries.cell(o) == "leak 8")
    reported = terminal.lines(outcome, terminal.PIPE_WIDTH, colour=False)
    terminal.print_dump(outcome)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split() for line in printed] == [line.split() for line in reported[:-1]]
    heading = reported.index(f"{outcome.play.case.name} under {outcome.play.variant.name}")
    assert heading == 0
    assert reported.index("argument area, from SP") > heading
    assert reported[-1] == "leak 8, as predicted"


def test_a_narrow_terminal_loses_no_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    monkeypatch.setattr(terminal, "console", lambda stderr=False: Console(width=50))
    terminal.print_result(result())
    assert "leak 8" in capsys.readouterr().out


def test_a_title_is_not_broken_at_its_tables_width(capsys: pytest.CaptureFixture[str]) -> None:
    title = "what is much longer than what stands below it"
    terminal.print_rows(title, ("a", "b"), [("1", "2")])
    assert title in capsys.readouterr().out.splitlines()


def test_play_line() -> None:
    catalog = Catalog()
    play = Play(catalog.variants["v15"], catalog.cases["stack-9"])
    assert play.line == "stack-9 v15 128"


def comparison() -> Comparison:
    """Return a comparison of two kernels that differ in one case, and one that cannot be had."""
    first = result()
    outcome = first.outcomes[0]
    assert outcome.verdict
    verdict = dataclasses.replace(outcome.verdict, corrupt={})
    changed = dataclasses.replace(outcome, verdict=verdict)
    second = dataclasses.replace(first, spec="debian:6.2", outcomes=(changed, *first.outcomes[1:]))
    gone = Unjudged("debian:6.3", "The archive has none.", "Try again.", Exit.INFRASTRUCTURE)
    return Comparison((first, second), (gone,))


def test_what_differs_between_kernels() -> None:
    (difference,) = kernels_report.differences(comparison().results)
    assert difference.variant == "none"
    assert difference.cases == ["stack-9"]
    assert difference.classes == {"leak": ["debian:6.1"], "intact": ["debian:6.2"]}
    assert not kernels_report.differences([result(), result()])


def test_a_comparison_is_as_bad_as_its_worst_kernel() -> None:
    assert comparison().exit_status is Exit.INFRASTRUCTURE
    assert Comparison((result(broken=True),), comparison().unjudged).exit_status is Exit.DIFFERS
    assert Comparison((result(), result())).exit_status is Exit.AGREES


def test_a_comparison_in_all_forms(capsys: pytest.CaptureFixture[str]) -> None:
    kernels_report.print_comparison(comparison())
    text = capsys.readouterr().out
    assert "debian:6.3  not judged" in text
    assert "The archive has none." in text
    assert "leak: debian:6.1; intact: debian:6.2" in text
    document = kernels_report.as_json(comparison())
    jsonschema.validate(document, COMPARISON)
    for run in document["runs"]:
        jsonschema.validate(run, SCHEMA)
    assert document["unjudged"][0]["kernel"] == "debian:6.3"
    assert document["exit_status"] == 3
    suites = ElementTree.fromstring(kernels_report.as_junit(comparison()).encode())
    assert [suite.get("errors") for suite in suites] == ["0", "0", "1"]
    ktap_text = kernels_report.as_ktap(comparison())
    assert "ok 2 debian:6.2\n" in ktap_text
    assert "not ok 3 debian:6.3\n" in ktap_text


def test_a_comparison_shows_what_is_not_as_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    kernels_report.print_comparison(Comparison((result(), result(broken=True))))
    text = capsys.readouterr().out
    assert "\N{NOT EQUAL TO} 1, " in text
    assert "3 bytes past its buffer" in text


def patched(*, broken: bool = False) -> Comparison:
    """Return a run without a patch, and one with it that corrupts one cell in another way."""
    before = result()
    outcome = before.outcomes[0]
    assert outcome.verdict
    clean = dataclasses.replace(outcome.verdict, corrupt={})
    after = dataclasses.replace(outcome, verdict=None if broken else clean)
    return Comparison((before, dataclasses.replace(before, outcomes=(after, *before.outcomes[1:]))))


def test_what_a_patch_makes_better_and_worse(capsys: pytest.CaptureFixture[str]) -> None:
    effects = [change.effect.value for change in patch_report.changes(*patched().results)]
    assert effects == ["better", "same", "same", "same"]
    back = Comparison(patched().results[::-1])
    assert patch_report.changes(*back.results)[0].effect is patch_report.Effect.WORSE
    assert patch_report.exit_status(patched()) is Exit.AGREES
    assert patch_report.exit_status(back) is Exit.DIFFERS
    patch_report.print_patch(patched())
    text = capsys.readouterr().out
    assert re.search(r"stack-9 +none +leak 8 +· +better", text)
    assert "1 of 4 cells are better, 0 worse" in text
    document = patch_report.as_json(back)
    jsonschema.validate(document, COMPARISON)
    assert document["changes"][0]["effect"] == "worse"
    assert document["exit_status"] == 1


def test_the_command_reports_what_a_patch_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = iter(patched().results)
    monkeypatch.setattr(judged, "judge", lambda *words: next(results))
    tree, patch = source_tree(tmp_path / "linux", "6.1"), tmp_path / "my.patch"
    patch.write_text(DIFF)
    out = tmp_path / "out.json"
    words = ["--kernel", str(tree), "--patch", str(patch), "--variant", "none", "--json", str(out)]
    assert main(["repro", *words]) == 0
    document = json.loads(out.read_text())
    jsonschema.validate(document, COMPARISON)
    assert document["changes"][0]["effect"] == "better"


def test_a_patch_that_kills_the_kernel_is_worse() -> None:
    change = patch_report.changes(*patched(broken=True).results)[0]
    assert change.effect is patch_report.Effect.WORSE


def test_a_patch_that_moves_the_damage() -> None:
    before, after = patched().results
    outcome = before.outcomes[0]
    assert outcome.verdict
    observation = outcome.verdict.observation
    counts = dataclasses.replace(observation.counts, handler=0, skipped=1)
    verdict = dataclasses.replace(
        outcome.verdict,
        observation=dataclasses.replace(observation, counts=counts),
        corrupt={},
    )
    moved = dataclasses.replace(outcome, verdict=verdict)
    other = dataclasses.replace(after, outcomes=(moved, *before.outcomes[1:]))
    assert patch_report.changes(before, other)[0].effect is patch_report.Effect.OTHER


def test_a_kernel_that_never_booted_cannot_be_judged() -> None:
    assert result(missing=4, kernel=("at boot",)).exit_status is Exit.UNJUDGED
    assert result(missing=1, kernel=("later",)).exit_status is Exit.DIFFERS
