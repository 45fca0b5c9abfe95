# SPDX-License-Identifier: GPL-2.0-only
"""Bisection names the first bad release of those that the archive has of a series."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import settings
from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.kernel import debian
from tests.nightly.test_night import broken, play, written

SPEC = "debian:6.1"


@pytest.mark.full
def test_a_policy_that_one_release_breaks(tmp_path: Path) -> None:
    releases = debian.releases(SPEC, Catalog().kernels, settings.load().archive)
    *older, newest = releases
    include = "#include <linux/types.h>"
    only = f'size == 128 && !strcmp(UTS_RELEASE, "{newest}")'
    project = broken(
        tmp_path / "project",
        "stack_policy.h",
        (include, f"#include <generated/utsrelease.h>\n{include}"),
        ("return min(size, depth);", f"return min({only} ? 64 : size, depth);"),
    )
    file = written(tmp_path, kernels=[f"debian:{newest}"], cases=["stack-25"])
    status, reported, night = play(
        file, f"sqlite:///{tmp_path}/history.sqlite", "--bisect", project=project
    )
    assert status == Exit.DIFFERS, reported
    (one,) = night["regressions"]
    good = f"{newest}, the oldest release that the archive has whole, is bad"
    if older:
        good = f"{newest} is the first bad one, {older[-1]} good"
    assert good in one["details"][0]
