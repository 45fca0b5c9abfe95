# SPDX-License-Identifier: GPL-2.0-only
"""Commands in the documentation do what it says of them: they work."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli

DOCS = Path(__file__).parents[2] / "docs"
SECONDS = 300
# A block of commands to run, or of ones that somebody has to sit at.
_BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Page and block."""
    for page in sorted(DOCS.glob("*.md")):
        for match in _BLOCK.finditer(page.read_text()):
            if match[1] == language:
                yield page.stem, match[2]


def pages() -> dict[str, str]:
    """By page, what is to be run, in order."""
    scripts: dict[str, str] = {}
    for page, block in blocks("sh"):
        scripts[page] = scripts.get(page, "") + block
    return scripts


@pytest.mark.parametrize("page", sorted(pages()))
def test_what_a_page_says_works(page: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-e", "-c", pages()[page]], cwd=tmp_path, timeout=SECONDS,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_that_is_wrong_is_found(tmp_path: Path) -> None:
    script = pages()["index"] + "jprobe-harness predict --case no-such\n"
    assert subprocess.run(["sh", "-e", "-c", script], cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("block", [block for _, block in blocks("console")])
def test_what_somebody_has_to_sit_at_is_a_command(block: str) -> None:
    for line in block.splitlines():
        words = shlex.split(line)
        if words[0] == "jprobe-harness":
            cli.parser().parse_args(words[1:])
