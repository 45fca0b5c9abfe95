# SPDX-License-Identifier: GPL-2.0-only
"""An audit for programs; the JSON's schema is beside this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.measure.audit import Audit, Tally, traced
from harness.measure.survey import Function

SCHEMA = 1


def document(audits: Sequence[Audit], name: str | None = None) -> dict[str, Any]:
    """Return audits as a JSON document; `name` asks for the functions of that name."""
    made: dict[str, Any] = {"schema": SCHEMA, "kernels": [_audit(one) for one in audits]}
    if name is not None:
        made["functions"] = [
            _function(audit, one) for audit in audits for one in audit.functions if one.name == name
        ]
    return made


def _audit(one: Audit) -> dict[str, Any]:
    return {
        "kernel": one.spec,
        "release": one.release,
        "source": one.source,
        "facts": asdict(one.facts),
        "tracers": [_tally(tally) for tally in one.tallies],
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "tracer": tally.tracer.name,
        "how": tally.tracer.shows,
        "rule_from": tally.ruled.source,
        "right": tally.right,
        "reads": {read.value: count for read, count in tally.reads.items()},
        "refused": dict(tally.refused),
        "misread": [one.prototype.declared for one in tally.worst],
        "changed": [one.prototype.declared for one in tally.corrupted],
    }


def _function(audit: Audit, one: Function) -> dict[str, Any]:
    found = traced(one.placement)
    readings = {one.tracer.name: one.ruled.rule(found) for one in audit.tallies if found}
    return {
        "kernel": audit.spec,
        "declared": one.prototype.declared,
        "unknown": one.placement.unknown or None,
        "tracers": {
            name: {
                "refused": reading.refused or None,
                "reads": [read.value for read in reading.reads],
                "changed": list(reading.corrupts),
            }
            for name, reading in readings.items()
        },
    }
