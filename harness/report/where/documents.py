# SPDX-License-Identifier: GPL-2.0-only
"""Where a function's arguments lie, for programs; the JSON's schema is beside this."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from harness.measure.fetch import SYNTAXES, fetched
from harness.measure.located import Entry, Located

SCHEMA = 1


def document(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return functions as a JSON document."""
    return {
        "schema": SCHEMA,
        "functions": [
            {
                "declared": entry.declared,
                "doubts": list(entry.doubts),
                "arguments": list(map(_argument, entry.arguments)),
            }
            for entry in entries
        ],
    }


def _argument(one: Located) -> dict[str, Any]:
    return {
        "name": one.name,
        "declared": one.declared,
        "bytes": one.size,
        "unknown": one.unknown or None,
        "rules": list(one.placement.rules) if one.placement else None,
        "by_reference": one.placement.by_reference if one.placement else None,
        "cut": one.cut,
        "parts": [
            {
                "path": part.path,
                "type": part.type,
                "start": part.start,
                "width": part.width,
                "pieces": [
                    {
                        **dataclasses.asdict(piece),
                        "base": piece.base.value,
                        "fetched": {name: fetched(name, piece) for name in SYNTAXES},
                    }
                    for piece in part.pieces
                ],
            }
            for part in one.parts
        ],
    }
