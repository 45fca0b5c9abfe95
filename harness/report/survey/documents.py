# SPDX-License-Identifier: GPL-2.0-only
"""A survey for programs: JSON, whose schema is beside this, and CSV with each function."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from harness import printable
from harness.abi.aapcs64 import Placement as Slot
from harness.measure.at_risk import Risk
from harness.measure.survey import ByReference, Change, Function, Survey, changes

SCHEMA = 2
_COLUMNS = (
    "kernel", "release", "module", "function", "stacked", "by_reference", "aggregates", "variadic",
    "unknown", "prototype",
)  # fmt: skip


def document(surveys: Sequence[Survey], name: str | None = None) -> dict[str, Any]:
    """Return surveys as a JSON document; `name` asks for the functions of that name."""
    made: dict[str, Any] = {"schema": SCHEMA, "kernels": [_survey(one) for one in surveys]}
    if len(surveys) > 1:
        made["changes"] = [_change(one) for one in changes(surveys[0], surveys[-1])]
    if name is not None:
        made["functions"] = [
            {"kernel": survey.spec, **_function(one), "arguments": arguments(one)}
            for survey in surveys
            for one in survey.named(name)
        ]
    return made


def _survey(survey: Survey) -> dict[str, Any]:
    symbols = survey.symbols
    return {
        "kernel": survey.spec,
        "release": survey.release,
        "source": survey.source,
        "modules": {"read": len(survey.modules), "unread": dict(survey.unread)},
        "image": counts(survey, modules=False),
        "all": counts(survey),
        "symbols": symbols and {
            "without_prototype": symbols.without_prototype,
            "clones": symbols.clones,
            "without_code": symbols.without_code,
        },
        "stacked_bytes": [
            {"bytes": size, "functions": count} for size, count in survey.histogram.items()
        ],
        "aggregates": [
            {**_aggregate(part), "parameters": count} for part, count in survey.aggregates
        ],
        "variants": [_risk(one) for one in survey.risks],
        "outside_registers": [
            _function(one) for one in survey.functions if not one.placement.in_registers
        ],
    }  # fmt: skip


def counts(survey: Survey, *, modules: bool = True) -> dict[str, int]:
    """Return how many functions there are of each sort, without `modules` those of the image."""
    of = [one for one in survey.functions if modules or not one.prototype.module]
    return {
        "functions": len(of),
        "in_registers": sum(one.placement.in_registers for one in of),
        "stacked": sum(bool(one.stacked) for one in of),
        "by_reference": sum(bool(one.by_reference) for one in of),
        "variadic": sum(one.prototype.signature.variadic for one in of),
        "unknown": sum(one.placement.layout is None for one in of),
        "other_registers": sum(bool(one.placement.others) for one in of),
    }


def _aggregate(part: ByReference) -> dict[str, Any]:
    return {"type": part.type, "bytes": part.size}


def _risk(risk: Risk) -> dict[str, Any]:
    return {
        "variant": risk.variant.name,
        "safe": risk.safe,
        "unsafe": risk.unsafe,
        "unknown": risk.unknown,
        "kept": risk.kept,
        "damage": {
            kind.value: count
            for kind, count in sorted(risk.damage.items(), key=lambda i: i[0].value)
        },
    }


def _function(one: Function) -> dict[str, Any]:
    return {
        "name": one.name,
        "module": one.prototype.module,
        "prototype": one.prototype.declared,
        "stacked": one.stacked,
        "by_reference": [_aggregate(part) for part in one.by_reference],
        "variadic": one.prototype.signature.variadic,
        "unknown": one.placement.unknown,
    }


def arguments(one: Function) -> list[dict[str, Any]]:
    """Return the parameters of a function with where each lies."""
    layout, others = one.placement.layout, one.placement.others
    made = []
    for index, parameter in enumerate(one.prototype.signature.parameters):
        row: dict[str, Any] = {
            "declared": parameter.declared,
            "bytes": parameter.type.size if parameter.type else None,
            "unknown": parameter.unknown,
        }
        if layout:
            slot = layout.placements[index]
            row["rules"] = list(slot.rules)
            row["lies"] = place(slot)
            row["or"] = sorted({place(other.placements[index]) for other in others} - {place(slot)})
            row["stack"] = slot.stack
            row["by_reference"] = slot.by_reference
        made.append(row)
    return made


def place(slot: Slot) -> str:
    """Return where an argument lies, in a few words."""
    if slot.stack is not None:
        where = f"SP+{slot.stack}"
    else:
        names = [f"x{number}" for number in slot.general] + [f"v{number}" for number in slot.vector]
        where = ", ".join(names) or "nowhere"
    return f"address of a copy in {where}" if slot.by_reference else where


def _change(change: Change) -> dict[str, Any]:
    return {
        "name": change.name,
        "before": change.before and _function(change.before),
        "after": change.after and _function(change.after),
    }


def as_csv(surveys: Sequence[Survey]) -> bytes:
    """Return CSV with a row for each function; sizes are in bytes."""
    out = io.StringIO()
    rows = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    rows.writeheader()
    for survey in surveys:
        rows.writerows(_row(survey, one) for one in survey.functions)
    return out.getvalue().encode()


def _row(survey: Survey, one: Function) -> Mapping[str, object]:
    texts = {
        "kernel": survey.spec,
        "release": survey.release,
        "module": one.prototype.module,
        "function": one.name,
        "aggregates": "; ".join(part.type for part in one.by_reference),
        "unknown": one.placement.unknown,
        "prototype": one.prototype.declared,
    }
    return {
        **{name: printable.line(text) for name, text in texts.items()},
        "stacked": one.stacked,
        "by_reference": sum(part.size for part in one.by_reference),
        "variadic": "yes" if one.prototype.signature.variadic else "",
    }
