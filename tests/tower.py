# SPDX-License-Identifier: GPL-2.0-only
"""Write the program's folders as a table of the documentation: python -m tests.tower"""

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
    """Return the names in each layer of the package, from the top down."""
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    return [
        [name.strip().removeprefix("harness.") for name in layer.split("|")]
        for layer in contract["layers"]
    ]


def files(name: str) -> list[Path]:
    """Return the modules of a name in a layer, which is a folder or one module."""
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
    """Return the page with the table made from the contract."""
    before, _, rest = old.partition(_BEGIN)
    return before + _BEGIN + "".join(_rows()) + _END + rest.partition(_END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
