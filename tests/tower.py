# SPDX-License-Identifier: GPL-2.0-only
"""The folders of the program as a table of the documentation: python -m tests.tower"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/architecture.md"
_BEGIN = "<!-- the tower: python -m tests.tower -->\n"
_END = "<!-- end of the tower -->\n"


def layers() -> list[list[str]]:
    """Names below the package, from the top down; those of one layer stand side by side."""
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    return [
        [name.strip().removeprefix("harness.") for name in layer.split("|")]
        for layer in contract["layers"]
    ]


def files(name: str) -> list[Path]:
    """The modules of a layer, which is a folder or one module."""
    folder = ROOT / "harness" / name
    if not folder.is_dir():
        return [folder.with_suffix(".py")]
    return sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")


def _purpose(name: str) -> str:
    folder = ROOT / "harness" / name
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    return said.partition("\n")[0].rstrip(".")


def _rows() -> Iterator[str]:
    yield "| | |\n| --- | --- |\n"
    for layer in layers():
        names = "<br>".join(f"`{name}`" for name in layer)
        yield f"| {names} | {'<br>'.join(map(_purpose, layer))} |\n"


def page(old: str) -> str:
    """The page with the table as the contract has it."""
    before, _, rest = old.partition(_BEGIN)
    return before + _BEGIN + "".join(_rows()) + _END + rest.partition(_END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
