# SPDX-License-Identifier: GPL-2.0-only
"""The commands in the documentation do what it says of them."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from harness import cli
from tests import pages

SECONDS = 300
# It builds kernels, and is followed in tests/kernels/test_tutorial.py.
ELSEWHERE = {"tutorial"}
# Measure, audit whole kernels, and play whole nightly runs.
LONG = {"measuring", "nightly", "tracers"}
CONSOLE = [
    content
    for page in sorted(pages.DOCS.glob("*.md"))
    for language, content in pages.blocks(page.stem)
    if language == "console"
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a user who has run something, for pages that show the last run."""
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    command = ["jprobe-harness", "repro", "--case", "stack-9", "--variant", "none"]
    subprocess.run(command, env=environment, check=True, timeout=SECONDS)
    return environment


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.full] * (page in LONG))
        for page in sorted(set(pages.pages()) - ELSEWHERE)
    ],
)
def test_what_a_page_says_works(page: str, tmp_path: Path, environment: dict[str, str]) -> None:
    pages.follow(page, tmp_path, SECONDS, environment)


def test_a_page_that_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "DOCS", tmp_path)
    page = tmp_path / "page.md"
    command = "jprobe-harness predict --case stack-9 --variant none"
    page.write_text(f"```sh\n{command}\n```\n\n```text\nstack-9 none leak argument 8 [0:8]\n```\n")
    pages.follow("page", tmp_path, SECONDS)
    page.write_text(page.read_text().replace("8 [0:8]", "9 [0:8]"))
    with pytest.raises(AssertionError, match=r"never seen: .* argument 9"):
        pages.follow("page", tmp_path, SECONDS)
    page.write_text("```sh\njprobe-harness predict --case no-such\n```\n")
    with pytest.raises(AssertionError, match="no-such"):
        pages.follow("page", tmp_path, SECONDS)


@pytest.mark.parametrize("block", CONSOLE)
def test_what_somebody_has_to_sit_at_is_a_command(block: str) -> None:
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "jprobe-harness":
            cli.parser().parse_args(words[1:])
