# SPDX-License-Identifier: GPL-2.0-only
"""The documentation's blocks: sh is run, text is what sh prints, console needs a user."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^```(sh|text|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A line of text that stands for any number of lines.
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def pages() -> list[str]:
    """Return the names of the pages that have something to run."""
    return sorted(page.stem for page in DOCS.glob("*.md") if script(page.stem))


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the content of each block of a page."""
    for match in _BLOCK.finditer((DOCS / f"{page}.md").read_text()):
        yield match[1], match[2]


def script(page: str) -> str:
    """Return all that a page has to run, in order."""
    return "".join(content for language, content in blocks(page) if language == "sh")


def shown(page: str) -> list[str]:
    """Return the lines that a page says are printed, in order."""
    text = "".join(content for language, content in blocks(page) if language == "text")
    return [line for line in text.splitlines() if line.strip() != ELLIPSIS]


def words(line: str) -> list[str]:
    """Split a line, as the width of a table's columns depends on its other rows."""
    return line.split()


def missing(expected: list[str], output: str) -> str | None:
    """Return the first expected line that does not follow the ones before it in the output."""
    lines = iter([words(line) for line in output.splitlines()])
    return next((line for line in expected if words(line) not in lines), None)


def follow(
    page: str, folder: Path, seconds: float, environment: Mapping[str, str] | None = None
) -> None:
    """Run what the page says, and check that its output has the lines that the page shows."""
    done = subprocess.run(
        ["sh", "-e", "-c", script(page)], cwd=folder, timeout=seconds, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    line = missing(shown(page), done.stdout)
    assert line is None, f"{page}: never seen: {line}\n{done.stdout}"
