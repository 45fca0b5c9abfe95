# SPDX-License-Identifier: GPL-2.0-only
"""The cases that tracers are tried on."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import ConfigError
from harness.model.case import Case


def own(cases: Sequence[Case]) -> list[Case]:
    """Return the cases on functions of our own; raise ConfigError where there is none."""
    found = [case for case in cases if not case.real]
    if not found:
        raise ConfigError(
            "No case that is chosen is on a function of the test modules.", "Choose other cases."
        )
    return found
