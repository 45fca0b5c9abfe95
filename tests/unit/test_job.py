# SPDX-License-Identifier: GPL-2.0-only
"""Which images a plan needs, and runs of several as one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog, own_variant
from harness.errors import ConfigError
from harness.kernel import spec
from harness.kernel.kernel import Engine, Kernel
from harness.kernel.options import DEFAULTS, Options
from harness.model.policy import Changes, Policy, Rule
from harness.run import job
from harness.run.job import _expected, images
from harness.run.plan import Outcome, Play, plays
from harness.run.result import KernelError, Result, merged
from tests.unit.kernels import made_up


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return made_up(tmp_path, version="4.8", engine=Engine.NATIVE)


def test_all_policies_share_an_image() -> None:
    variants = Catalog().select_variants(["none", "fixed-64", "v15"])
    assert images(variants, DEFAULTS, exact=False) == [(DEFAULTS, variants)]


def test_each_policy_has_an_exact_image() -> None:
    none, v15 = Catalog().select_variants(["none", "v15"])
    found = images([none, v15], DEFAULTS, exact=True)
    assert [(image.carried, carried) for image, carried in found] == [
        (none.policy, [none]),
        (v15.policy, [v15]),
    ]


def test_a_trees_own_policy_has_an_image() -> None:
    given = Options(changes=Changes(patches=("base.patch",)))
    none, tree, patch = Catalog().select_variants(["none", "tree", "patch:my.patch"])
    setting = own_variant("X=1", Changes(settings=("X=1",)))
    found = images([none, tree, patch, setting], given, exact=False)
    assert [image.carried for image, _ in found] == ["any", "own", "own", "own"]
    assert [image.changes for image, _ in found] == [
        given.changes,
        given.changes,
        Changes(patches=("base.patch", "my.patch")),
        Changes(patches=("base.patch",), settings=("X=1",)),
    ]


def test_todays_probes_need_a_kernel_of_today(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec, "check", lambda *arguments, **options: None)
    monkeypatch.setattr(spec, "resolve", lambda *arguments, **options: kernel)
    with pytest.raises(ConfigError, match="tree:/old has jprobes of its own") as caught:
        job.prepare("tree:/old", Catalog(), traced=True)
    assert "Give a kernel without jprobes" in caught.value.hint


def test_what_a_variant_is_expected_to_do() -> None:
    (tree,) = Catalog().select_variants(["tree"])
    assert tree.expected == tree.policy == Policy(Rule.KERNEL)
    found = dataclasses.replace(tree, found=Policy(Rule.FIXED, 128))
    assert found.expected == Policy(Rule.FIXED, 128)
    assert Play(found, Catalog().cases["stack-9"]).line == "stack-9 kernel 0"


def test_runs_are_merged_in_the_plans_order() -> None:
    catalog = Catalog()
    plan = plays(
        catalog.select_variants(["none", "v15"]), catalog.select_cases(["stack-8", "stack-9"])
    )

    def run(variant: str) -> Result:
        mine = [play for play in plan if play.variant.name == variant]
        return Result(
            spec="tree",
            release="4.8.0",
            engine="native",
            compiler="gcc",
            outcomes=tuple(Outcome(play, None) for play in mine),
            planned=len(mine),
            kernel_errors=(KernelError("KernelDied", variant),),
        )

    both = merged([run("v15"), run("none")], plan)
    assert [outcome.play for outcome in both.outcomes] == plan
    assert (both.planned, both.boots) == (4, 2)
    assert [error.sentence for error in both.kernel_errors] == ["v15", "none"]


def test_what_a_trees_own_policy_is_held_against(kernel: Kernel) -> None:
    catalog = Catalog()
    cases = catalog.select_cases(["stack-9"])
    own, patched, none = plays(catalog.select_variants(["tree", "patch:x", "none"]), cases)
    found = Policy(Rule.V15, 128)
    native = dataclasses.replace(kernel, own_policy=found)
    assert _expected(own, native, None).variant.expected == found
    # It is not known what a patch does.
    assert _expected(patched, native, None).variant.expected == Policy(Rule.KERNEL)
    reported = Policy(Rule.FIXED, 64)
    assert _expected(own, native, reported).variant.expected == reported
    assert _expected(patched, native, reported).variant.expected == reported
    assert _expected(none, native, reported) == none
