# SPDX-License-Identifier: GPL-2.0-only
"""The documentation's blocks: sh is to be run, text is what that shows, console needs somebody."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^```(sh|text|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A line of text that stands for any others.
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def pages() -> list[str]:
    """By name, those that have something to run."""
    return sorted(page.stem for page in DOCS.glob("*.md") if script(page.stem))


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Language and content."""
    for match in _BLOCK.finditer((DOCS / f"{page}.md").read_text()):
        yield match[1], match[2]


def script(page: str) -> str:
    """All that is to be run, in order."""
    return "".join(content for language, content in blocks(page) if language == "sh")


def shown(page: str) -> list[str]:
    """The lines that are said to be seen, in order; see words() for what counts."""
    text = "".join(content for language, content in blocks(page) if language == "text")
    return [line for line in text.splitlines() if line.strip() != ELLIPSIS]


def words(line: str) -> list[str]:
    """Where columns stand depends on other rows."""
    return line.split()


def missing(expected: list[str], output: str) -> str | None:
    """The first line that the output does not have behind those before it."""
    lines = iter([words(line) for line in output.splitlines()])
    return next((line for line in expected if words(line) not in lines), None)


def follow(
    page: str, folder: Path, seconds: float, environment: Mapping[str, str] | None = None
) -> None:
    """Do what the page says, word by word, and look for what it says is seen."""
    done = subprocess.run(
        ["sh", "-e", "-c", script(page)], cwd=folder, timeout=seconds, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    line = missing(shown(page), done.stdout)
    assert line is None, f"{page}: never seen: {line}\n{done.stdout}"
