# SPDX-License-Identifier: GPL-2.0-only
"""A second compiler: other frames, other results, and all of them as predicted."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.kernel.kernel import Kernel
from harness.measure import fuzz, storm
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.run import repro
from harness.run.plan import plays
from harness.toolchain.compiler import named
from tests.guest.conftest import names
from tests.guest.test_repro import command

CLANG = named("clang")


def test_two_compilers_side_by_side(tmp_path: Path, kernel: Kernel) -> None:
    done = command(tmp_path, "layout", "--kernel", kernel.spec, "--json=-")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    gcc, clang = json.loads(done.stdout)["compilers"]
    assert "clang" in clang["version"]
    assert gcc["agree"] == gcc["planned"] == clang["agree"]
    frames = {
        (made["name"], frame["case"]): frame for made in (gcc, clang) for frame in made["frames"]
    }
    # gcc's copy lies above FP, out of reach of FP - SP bytes; clang's lies below.
    (below,), (above,) = (frames[name, "by-ref-256"]["copies"] for name in ("gcc", "clang"))
    assert below["from_fp"] >= 0
    assert above["from_fp"] + above["size"] <= 0
    assert frames["gcc", "struct-9-stack"]["private_copies"] == []
    assert frames["clang", "struct-9-stack"]["private_copies"] == [8]


def test_a_private_copy_that_nobody_knows_of(kernel: Kernel, catalog: Catalog) -> None:
    """A handler of clang's assigns to its own copy; without that fact the run is red."""
    chosen = catalog.select_cases(["struct-9-stack", "stack-9"])
    built = modules.build(kernel, chosen, compiler=CLANG)
    ignorant = Modules(built.folder, built.key, built.proof)
    vars(ignorant)["private_copies"] = {}
    plan = plays(catalog.select_variants(["none"]), chosen)
    assert repro.run(kernel, built, plan).exit_status is Exit.AGREES
    result = repro.run(kernel, ignorant, plan)
    assert names(result.differing) == {"struct-9-stack"}
    assert any("the handler wrote" in reason for reason in result.differing[0].reasons)


@pytest.mark.full
def test_clang_compiles_random_signatures(kernel: Kernel, catalog: Catalog) -> None:
    build = functools.partial(modules.build, compiler=CLANG)
    variants = list(catalog.variants.values())
    campaign = fuzz.run(kernel, 2016, 150, variants, compiled=150, build=build)
    assert [failure.reasons for failure in campaign.failures] == []
    assert (campaign.exit_status, campaign.compiled) == (Exit.AGREES, 150)


def test_a_storm_on_code_of_clangs(kernel: Kernel, catalog: Catalog) -> None:
    built = modules.build(kernel, [], compiler=CLANG)
    result = storm.run(kernel, built, [catalog.variants["none"]], cpus=4, seconds=4)
    assert [outcome.reasons for outcome in result.outcomes] == [()]
