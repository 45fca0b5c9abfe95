# SPDX-License-Identifier: GPL-2.0-only
"""
Write the README's table of answers: python -m tests.answers [RESULT.json]

It comes from tests/unit/data/answers.json, which has what `repro --json` wrote of debian:6.1, cut
down to what the answers need; where a result is given, from that, which is kept there first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.answers import claim, documents, found, text
from harness.answers.answer import answered
from harness.answers.claim import Source
from harness.answers.page import SHORT, Page
from harness.cases.catalog import Catalog
from tests.tower import ROOT

README = ROOT / "README.md"
KEPT = ROOT / "tests/unit/data/answers.json"
_BEGIN = "<!-- answers: python -m tests.answers -->\n"
_END = "<!-- end of the answers -->\n"
_VERDICT = ("variant", "case", "damage", "agrees")


def kept(document: dict[str, Any]) -> str:
    """Return a result as it is kept, with a line for each verdict."""
    verdicts = ",\n".join(
        json.dumps({name: verdict[name] for name in _VERDICT}) for verdict in document["verdicts"]
    )
    summary = json.dumps(document["summary"] | {"prices": []}, indent=1)
    return f'{{"summary": {summary},\n"verdicts": [\n{verdicts}\n]}}\n'


def page(document: dict[str, Any]) -> Page:
    """Return the answers of a result."""
    evidence = documents.evidence(document, "out.json", "")
    return Page(answered(claim.load(), evidence, found.known(Catalog())), evidence)


def _table(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the short form, of what the review claims."""
    made = page(document)
    rows = zip(made.answers, made.short)
    yield "\n"
    yield f"{made.sentence}\n"
    yield "\n"
    shown = [row for answer, row in rows if answer.claim.file.source is Source.REVIEW]
    yield from (f"{line}\n" for line in text.table(SHORT, shown))
    yield "\n"


def readme(old: str, document: dict[str, Any]) -> str:
    """Return the README with the table of a result."""
    before, _, rest = old.partition(_BEGIN)
    return before + _BEGIN + "".join(_table(document)) + _END + rest.partition(_END)[2]


def stored() -> dict[str, Any]:
    """Return the result that is kept."""
    result: dict[str, Any] = json.loads(KEPT.read_text())
    return result


if __name__ == "__main__":
    for name in sys.argv[1:]:
        KEPT.write_text(kept(json.loads(Path(name).read_text())))
    README.write_text(readme(README.read_text(), stored()))
