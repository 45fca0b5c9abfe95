# SPDX-License-Identifier: GPL-2.0-only
"""
The machine-readable result; its schema is harness/report/formats/schema.json.

`schema` is increased with every change that breaks readers of the older form.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.measure.facts import measured
from harness.model.predict import spans
from harness.report import real_report, summaries
from harness.run.plan import Outcome
from harness.run.result import Result

SCHEMA = 2


def _verdict(result: Result, outcome: Outcome) -> dict[str, Any]:
    play, verdict = outcome.play, outcome.judged
    row: dict[str, Any] = {
        "kernel": result.release,
        "engine": result.engine,
        "variant": play.variant.name,
        "case": play.case.name,
        "class": verdict.label if verdict else None,
        "agrees": outcome.agrees,
        "reasons": list(outcome.reasons),
        "witness_agrees": None if outcome.witness is None else not outcome.witness,
        "damage": None
        if verdict is None
        else {damage.value: size for damage, size in outcome.damage.items()},
    }
    if verdict is None:
        return row
    prediction, observation = verdict.prediction, verdict.observation
    arguments = sorted({*prediction.corrupt, *verdict.corrupt})
    row |= {
        "arguments": [
            {
                "index": index,
                "type": play.case.arguments[index].type.spelling,
                "predicted": spans(prediction.corrupt.get(index, frozenset())),
                "observed": spans(verdict.corrupt.get(index, frozenset())),
            }
            for index in arguments
        ],
        "context": play.case.context.value,
        "object": {
            "predicted": spans(prediction.lost),
            "observed": spans(verdict.lost),
        },
        "overflow": {"predicted": prediction.overflow, "observed": observation.overflow},
        "saved": {
            "predicted": prediction.window if prediction.runs else -1,
            "observed": observation.saved,
        },
        **summaries.frame_row(measured(play.case, observation)),
        "private_copies": sorted(prediction.private_copies),
        **real_report.as_json(outcome),
    }
    return row


def document(result: Result) -> dict[str, Any]:
    """Return the whole run as a JSON document."""
    return {
        "schema": SCHEMA,
        "summary": {
            "kernel": result.spec,
            "release": result.release,
            "engine": result.engine,
            "jprobes": result.jprobes or None,
            "compiler": result.compiler,
            "make": list(result.make),
            "lacking": dict(result.lacking),
            "planned": result.planned,
            "played": len(result.outcomes),
            "agree": len(result.outcomes) - len(result.differing),
            "differ": len(result.differing),
            "classes": summaries.counts(result.outcomes),
            "prices": [dataclasses.asdict(price) for price in summaries.prices(result.outcomes)],
            "boots": result.boots,
            "resumed": result.resumed,
            "witness": "gdb" if result.witness else None,
            "complete": result.complete,
            "kernel_errors": [str(error) for error in result.kernel_errors],
            "harness_errors": list(result.harness_errors),
            "retried": list(result.retried),
            "exit_status": int(result.exit_status),
            "written": summaries.now(),
        },
        "verdicts": [_verdict(result, outcome) for outcome in result.outcomes],
    }
