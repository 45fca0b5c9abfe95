# SPDX-License-Identifier: GPL-2.0-only
"""The documentation's site: tox -e docs."""

from __future__ import annotations

from pathlib import Path

from harness import __version__
from harness.cases.catalog import Catalog
from harness.model.assumed import RecordPosition, lay_out
from harness.report.stack_picture import svg

project = "jprobe-harness"
author = "the jprobe-harness developers"
project_copyright = "GPL-2.0-only"
release = __version__
extensions = ["myst_parser"]
html_theme = "furo"
html_title = project
html_copy_source = False

# Drawn from the model whenever the site is built.
PICTURES = ("stack-25", "by-ref-256", "rollback-completion-cpu")


def draw(folder: Path) -> None:
    """The pictures that the pages show."""
    folder.mkdir(exist_ok=True)
    catalog = Catalog()
    variants = list(catalog.variants.values())
    for name in PICTURES:
        case = catalog.cases[name]
        picture = svg(case, variants, *lay_out(case, RecordPosition.BELOW))
        (folder / f"{name}.svg").write_text(picture)


draw(Path(__file__).with_name("pictures"))
