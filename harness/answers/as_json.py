# SPDX-License-Identifier: GPL-2.0-only
"""The answers as JSON; the schema is in schema.json."""

from __future__ import annotations

from typing import Any

from harness.answers.answer import Answer
from harness.answers.evidence import Run
from harness.answers.found import Measured
from harness.answers.page import Page

SCHEMA = 1


def document(page: Page) -> dict[str, Any]:
    """Return the page as a JSON document."""
    return {
        "schema": SCHEMA,
        "claims": [_claim(answer) for answer in page.answers],
        "results": [_run(run) for run in page.evidence.runs],
        "not_as_predicted": [
            {"release": cell.run.release, "variant": cell.variant, "case": cell.case}
            for cell in page.evidence.differing
        ],
        "unjudged": list(page.evidence.unjudged),
        "exit_status": int(page.exit_status),
    }


def _claim(answer: Answer) -> dict[str, Any]:
    file = answer.claim.file
    return {
        "name": answer.claim.name,
        "source": file.source.value,
        "question": file.question,
        "claim": file.claim,
        "verdict": answer.verdict,
        "answer": answer.answer,
        "says": answer.says,
        "decided": list(answer.decided),
        "measures": [_measure(one) for one in answer.measures],
        "differ": answer.differ,
        "commands": [text for text in (file.command, *answer.further) if text],
    }


def _measure(one: Measured) -> dict[str, Any]:
    least = one.least
    return {
        "name": one.name,
        "counts": one.counts,
        "state": one.state.value,
        "found": one.found,
        "of": one.of,
        "text": one.text,
        "why": one.why,
        "least": least and {"variant": least.variant, "case": least.case, "bytes": least.size},
        "kernels": [
            {
                "release": column.run.release,
                "compiler": column.run.compiler,
                "when": column.run.when,
                "found": column.found,
                "of": column.of,
            }
            for column in one.columns
        ],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "command": run.command,
        "from": run.where,
        "kernel": run.kernel,
        "release": run.release,
        "compiler": run.compiler,
        "engine": run.engine,
        "when": run.when,
        "planned": run.planned,
        "played": run.played,
        "differ": run.differ,
        "errors": list(run.errors),
        "exit_status": int(run.status),
    }
