# SPDX-License-Identifier: GPL-2.0-only
"""The documentation's table of the program shows the contract that lint-imports checks."""

from __future__ import annotations

from collections import Counter

from tests.tower import PAGE, ROOT, files, layers, page

# A folder with more modules than this should be two; the number of commands is not limited.
MODULES = 12
# And a file with more lines is two, unless its docstring says why it is not.
LINES = 400


def test_the_picture_is_the_contracts() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "run: python -m tests.tower"
    assert page(text.replace("| `vm` |", "| `run` |")) == text


def test_every_module_has_its_place() -> None:
    placed = {path for layer in layers() for name in layer for path in files(name)}
    modules = {path for path in (ROOT / "harness").rglob("*.py") if path.name != "__init__.py"}
    assert modules == placed


def test_no_folder_is_crowded() -> None:
    folders = Counter(
        path.parent.relative_to(ROOT)
        for layer in layers()
        for name in layer
        for path in files(name)
    )
    crowded = {str(folder) for folder, count in folders.items() if count > MODULES}
    assert crowded == {"harness/commands"}


def test_no_file_is_long() -> None:
    counts = {
        path.relative_to(ROOT): path.read_text().count("\n")
        for folder in ("harness", "tests")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert counts
    assert {path: count for path, count in counts.items() if count > LINES} == {}


def test_only_programs_can_be_executed() -> None:
    sources = [
        path
        for folder in ("harness", "configs", "kernel-modules", "images", "tests")
        for path in (ROOT / folder).rglob("*.*")
        if path.is_file() and path.suffix != ".pyc"
    ]
    assert sources
    marked = [path for path in sources if path.stat().st_mode & 0o111]
    assert [path for path in marked if not path.read_bytes().startswith(b"#!")] == []
