# SPDX-License-Identifier: GPL-2.0-only
"""Words that were given up for better ones do not come back as names."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tower import ROOT

# Each word with the one that docs/glossary.md has in its place.
RETIRED = {
    "arrival": "expected bytes",
    "attendant": "console pump",
    "nominal": "assumed frame",
    "parcel": "bundle",
    "tell": "report, print, record",
    "telling": "outputs",
    "told": "reported",
    "trouble": "errors",
}


def retired(text: str) -> Iterator[str]:
    """Yield the retired words that are a part of a name in Python code."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            parts = re.findall(r"[A-Z]?[a-z]+", token.string)
            yield from (part for part in parts if part.lower().rstrip("s") in RETIRED)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "harness").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_name_is_made_of_a_retired_word(path: Path) -> None:
    assert not set(path.stem.split("_")) & RETIRED.keys()
    assert list(retired(path.read_text())) == []


def test_a_retired_word_is_found() -> None:
    assert list(retired("class HisParcels:\n    nominal_place = 1\n")) == ["Parcels", "nominal"]
