# SPDX-License-Identifier: GPL-2.0-only
"""Of a series' releases that the archive has, the first bad one is named."""

from __future__ import annotations

from pathlib import Path

from harness import settings
from harness.catalog import Catalog
from harness.errors import Exit
from harness.kernel import debian
from tests.nightly.test_night import copied, play, written

SPEC = "debian:6.1"


def test_a_policy_that_one_release_breaks(tmp_path: Path) -> None:
    releases = debian.releases(SPEC, Catalog().kernels, settings.load().archive)
    *older, newest = releases
    project = copied(tmp_path / "project")
    (header,) = project.rglob("stack_policy.h")
    text = header.read_text()
    broken = text.replace(
        "#include <linux/types.h>", "#include <generated/utsrelease.h>\n#include <linux/types.h>", 1
    )
    broken = broken.replace(
        "return min(size, room);",
        f'return min(size == 128 && !strcmp(UTS_RELEASE, "{newest}") ? 64 : size, room);',
    )
    assert broken.count(newest) == 1
    header.write_text(broken)
    file = written(tmp_path, kernels=[f"debian:{newest}"], cases=["stack-25"])
    status, told, night = play(
        file, f"sqlite:///{tmp_path}/history.sqlite", "--bisect", project=project
    )
    assert status == Exit.DIFFERS, told
    (one,) = night["regressions"]
    good = (
        f"{newest} is the first bad one, {older[-1]} good" if older else f"{newest} is the oldest"
    )
    assert good in one["details"][0]
