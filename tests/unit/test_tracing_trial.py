# SPDX-License-Identifier: GPL-2.0-only
"""How a call is judged that a jprobe was beside a tracer at."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.model.policy import Policy, Rule
from harness.modules.build import Modules
from harness.run.plan import Play
from harness.tracers.catalog import tracers
from harness.tracers.cell import Seen, Status, passed
from harness.tracing.described import function
from harness.tracing.trial import Trial
from tests.unit.factory import case, observe
from tests.unit.kernels import made_up

CASE = case("arguments: [9 x long]")


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    (tmp_path / "private_copies.json").write_text("{}")
    return Modules(tmp_path, "m", tmp_path, traced=True)


@pytest.mark.parametrize("name", ["redirect", "kprobe-exact"])
def test_what_a_jprobe_does_besides_is_judged(modules: Modules, tmp_path: Path, name: str) -> None:
    variant = Catalog().variants["fixed-64"]
    kernel = dataclasses.replace(made_up(tmp_path), release="6.12.1")
    kernel.config.write_text("CONFIG_DYNAMIC_FTRACE=y\nCONFIG_KPROBE_EVENTS=y\n")
    trial = Trial(kernel, modules, tracers()[name], variant)
    line = Play(variant, CASE).line
    saw = observe(CASE, Policy(Rule.FIXED, 64), line=line)
    read = tuple(one.value for one in passed(CASE, saw))
    cell = trial.judged(function(CASE, {}), Seen(read), saw)
    assert cell.status is Status.AGREES, cell.mismatches
    # The save went where it was not to, which is no argument's fate.
    saw = dataclasses.replace(saw, overflow=8)
    (reason,) = trial.judged(function(CASE, {}), Seen(read), saw).mismatches
    assert "the save wrote 8 bytes past its buffer" in reason
