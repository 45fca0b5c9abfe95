# SPDX-License-Identifier: GPL-2.0-only
"""What bytes are of, by name."""

from __future__ import annotations

AREA = "area"
OBJECT = "object"


def argument(index: int) -> str:
    """The value of an argument, or of a by-reference one the copy."""
    return f"argument {index}"
