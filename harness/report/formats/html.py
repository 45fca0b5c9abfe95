# SPDX-License-Identifier: GPL-2.0-only
"""HTML files that need nothing else: what all pages share."""

from __future__ import annotations

from typing import Any

import msgspec
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

from harness import printable


class Numbers:
    """Numbers values, so that a page holds each once."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self.values: list[Any] = []

    def of(self, value: Any) -> int:
        """Return the number of a value, a new one if there is no equal value yet."""
        key = msgspec.json.encode(value)
        if key not in self._numbers:
            self._numbers[key] = len(self.values)
            self.values.append(value)
        return self._numbers[key]


def template(package: str, name: str) -> Template:
    """
    Return a template of a package's folder `page`, in which nothing from outside is markup.

    It may include the styles and scripts that are here.
    """
    loader = ChoiceLoader(
        [PackageLoader(package, "page"), PackageLoader("harness.report.formats", "page")]
    )
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _shown(value: Any) -> Any:
    """Escape a value for the page; the template's own markup is left alone."""
    return value if hasattr(value, "__html__") else printable.shown(str(value))
