# SPDX-License-Identifier: GPL-2.0-only
"""Random signatures: all are as predicted, and each sabotage is found."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import pytest

from harness.cases import writer
from harness.cases.catalog import Catalog
from harness.cases.reader import load_case
from harness.cli import main
from harness.errors import Exit
from harness.kernel.kernel import Kernel
from harness.measure import fuzz
from harness.model import verdict as verdicts
from harness.model.case import Case
from harness.model.policy import Hit, Policy
from harness.model.predict import MeasuredFrame, Prediction, predict
from harness.modules import build as modules
from harness.run import repro
from harness.run.plan import Play
from tests.guest.conftest import BrokenTree
from tests.guest.test_repro import command
from tests.wrong_rules import WRONG_RULES

SEED = 2016
ENOUGH = 200


def test_random_signatures_are_as_predicted(tmp_path: Path, kernel: Kernel) -> None:
    done = command(
        tmp_path, "fuzz", "--kernel", kernel.spec, "--seed=7", "--count=2500", "--json=-"
    )
    document = json.loads(done.stdout)
    assert (done.returncode, document["failures"], document["played"]) == (0, [], 2500)
    assert document["compiled"] == fuzz.COMPILED
    damage = {word for label in document["classes"] for word in label.split("+")}
    assert damage == {"intact", "leak", "by-ref", "rollback", "overflow", "skipped"}


@pytest.mark.full
def test_the_same_seed_gives_the_same_records(kernel: Kernel, catalog: Catalog) -> None:
    variants = list(catalog.variants.values())
    first, again = (fuzz.run(kernel, SEED, 400, variants, compiled=10) for _ in range(2))
    assert first.exit_status is Exit.AGREES
    assert first.digest == again.digest
    other = fuzz.run(kernel, SEED + 1, 400, variants, compiled=0)
    assert other.digest != first.digest


@pytest.mark.full
@pytest.mark.parametrize(
    ("old", "new", "variant"),
    [
        ("return min(size, depth);", "return min(size - 1, depth);", "fixed-64"),
        ("return hit->fp - hit->sp;", "return hit->fp - hit->sp + 8;", "fp-delta"),
    ],
)
def test_a_wrong_policy_is_found(
    tmp_path: Path,
    broken_tree: BrokenTree,
    kernel: Kernel,
    catalog: Catalog,
    old: str,
    new: str,
    variant: str,
) -> None:
    root = broken_tree("stack-policy/stack_policy.h", old, new)
    build = functools.partial(modules.build, root=root)
    variants = catalog.select_variants([variant])
    campaign = fuzz.run(kernel, SEED, ENOUGH, variants, compiled=0, build=build)
    assert campaign.exit_status is Exit.DIFFERS
    failure = campaign.failures[0]
    shrunk = fuzz.shrink(kernel, failure, build=build)
    assert len(shrunk.play.case.arguments) <= 2
    # The file that is written shows the same difference with repro.
    path = tmp_path / f"{shrunk.play.case.name}.yaml"
    path.write_text(writer.text(shrunk.play.case))
    case = load_case(path)
    result = repro.run(kernel, build(kernel, [case]), [Play(variants[0], case)])
    assert result.exit_status is Exit.DIFFERS


@pytest.mark.parametrize("rule", WRONG_RULES)
def test_a_wrong_rule_is_found(
    kernel: Kernel, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    """Only a compiler can find out; it does, in the disassembly or in the guest."""
    WRONG_RULES[rule](monkeypatch)
    campaign = fuzz.run(kernel, SEED, ENOUGH, catalog.select_variants(["none"]))
    assert campaign.exit_status is Exit.DIFFERS
    assert campaign.failures[0].play.image is None


@pytest.mark.full
def test_a_failure_is_written_to_a_file(
    tmp_path: Path,
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command line that is printed shows the failure again."""

    def shifted(case: Case, policy: Policy, hit: Hit, places: MeasuredFrame) -> Prediction:
        return predict(case, dataclasses.replace(policy, size=policy.size + 8), hit, places)

    monkeypatch.setattr(verdicts, "predict", shifted)
    fuzzed = ["fuzz", "--kernel", kernel.spec, "--cc=clang", "--count=60", "--compiled=0"]
    assert main([*fuzzed, "--variant=fixed-64", "--out", str(tmp_path)]) == Exit.DIFFERS
    printed = capsys.readouterr().out
    (path,) = tmp_path.glob("fuzz-1-*.yaml")
    words = printed.split("Play it with: jprobe-harness ")[1].split("\n\n")[0].split()
    assert words[words.index("--cc") + 1] == "clang"
    assert main(words) == Exit.DIFFERS
    assert path.stem in capsys.readouterr().out
