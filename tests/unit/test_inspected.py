# SPDX-License-Identifier: GPL-2.0-only
"""What the host finds in the modules by name is declared where C says so."""

from __future__ import annotations

import re

import pytest

from harness import resources
from harness.inspect import crash, debug, witness

HEADER = (resources.kernel_modules() / "inspect/inspected.h").read_text()


@pytest.mark.parametrize("name", [crash.STATE, crash.PLAYING, debug.STATE, witness.END])
def test_it_is_declared(name: str) -> None:
    declared = re.findall(
        r"^(?:DECLARE_PER_CPU|extern|void)\b.*?(\w+)(?:\(.*\)|\))?;$", HEADER, re.M
    )
    assert name in declared
