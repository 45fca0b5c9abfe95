# SPDX-License-Identifier: GPL-2.0-only
"""The files that have a nightly run played each nightly run: of systemd, GitHub and GitLab."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness import cli

FILES = Path(__file__).parents[2] / "configs/nightly"
SCHEMAS = {"github.yml": "vendor.github-workflows", "gitlab-ci.yml": "vendor.gitlab-ci"}
UNITS = ("jprobe-harness.service", "jprobe-harness.timer")


def verified(tmp_path: Path, texts: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return subprocess.run(
        ["systemd-analyze", "verify", "--user", *(tmp_path / name for name in texts)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip


def test_systemd_takes_its_units(tmp_path: Path) -> None:
    texts = {name: (FILES / name).read_text() for name in UNITS}
    done = verified(tmp_path, texts)
    assert (done.returncode, done.stderr) == (0, "")
    service, timer = UNITS
    broken = {
        service: texts[service].replace("/usr/bin/env", "/usr/bin/no-such"),
        timer: texts[timer].replace("02:00", "26:00"),
    }
    for name, text in broken.items():
        done = verified(tmp_path, texts | {name: text})
        assert done.returncode or done.stderr, name


def checked(file: Path, schema: str) -> int:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(command, capture_output=True).returncode


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_workflow_is_one(tmp_path: Path, name: str) -> None:
    assert checked(FILES / name, SCHEMAS[name]) == 0
    broken = tmp_path / name
    broken.write_text(
        (FILES / name).read_text().replace("script:", "scrip:").replace("runs-on", "on")
    )
    assert checked(broken, SCHEMAS[name]) != 0


@pytest.mark.parametrize("name", [*SCHEMAS, *UNITS])
def test_the_commands_in_it_are_ours(name: str) -> None:
    text = (FILES / name).read_text().replace("\\\n", " ")
    if name == "gitlab-ci.yml":
        text = "\n".join(yaml.safe_load(text)["nightly"]["script"])
    for line in re.findall(r"jprobe-harness (nightly|history|doctor)( .*)", text):
        cli.parser().parse_args([line[0], *line[1].split()])
