# SPDX-License-Identifier: GPL-2.0-only
"""The cost of a hit in instructions: the same in each boot, and higher with a slower engine."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.kernel.kernel import Kernel
from harness.measure import cost
from harness.modules import build as modules
from harness.vm.machine import Config
from tests.guest.conftest import BrokenTree
from tests.guest.test_repro import command

PORT = "jprobe-port/jprobe_port.c"
# Two instructions per iteration, and the loop's own overhead.
TURNS = 100
SAVES = "\tsaved = stack_policy_save("
SLOWER = f"""\
	for (int i = 0; i < {TURNS}; i++)
		asm volatile("nop");
{SAVES}"""


def per_hit(kernel: Kernel, catalog: Catalog, root: Path | None = None) -> dict[str, float]:
    built = modules.build(kernel, [], root=root)
    variants = catalog.select_variants(["none", "fixed-*", "thread-size"])
    result = cost.run(kernel, built, variants)
    assert result.exit_status is Exit.AGREES
    return {one.variant.name: one.cost.per_hit for one in result.outcomes if one.cost}


def test_the_command(tmp_path: Path, kernel: Kernel) -> None:
    done = command(tmp_path, "cost", "--kernel", kernel.spec, "--variant=fixed-128", "--json=-")
    (one,) = json.loads(done.stdout)["costs"]
    assert (done.returncode, one["saved"], one["reasons"]) == (0, 128, [])
    assert one["instructions"] > 500


def test_two_boots_count_the_same(
    broken_tree: BrokenTree, kernel: Kernel, catalog: Catalog
) -> None:
    first = per_hit(kernel, catalog)
    assert per_hit(kernel, catalog) == pytest.approx(first, abs=0.1)
    # Each byte that is saved and put back costs something.
    assert first["none"] < first["fixed-64"] < first["fixed-128"] < first["thread-size"]

    root = broken_tree(PORT, SAVES, SLOWER)
    slower = per_hit(kernel, catalog, root)
    for name, instructions in slower.items():
        assert 2 * TURNS <= instructions - first[name] <= 4 * TURNS, name


def test_a_machine_that_counts_time(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel, catalog: Catalog
) -> None:
    """Where -icount is not at work, no number is reported."""
    without = dataclasses.replace

    def replace(config: Config, **changes: object) -> Config:
        return without(config, **{**changes, "icount": False})

    monkeypatch.setattr(cost, "replace", replace)
    built = modules.build(kernel, [])
    result = cost.run(kernel, built, [catalog.variants["none"]])
    assert result.exit_status is Exit.INFRASTRUCTURE
    assert "does not count them" in result.harness_errors[0]
    assert result.outcomes == ()
