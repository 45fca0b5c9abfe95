# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are not there, fail or do not end."""

from __future__ import annotations

import pytest

from harness import tool
from harness.errors import InfrastructureError


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(InfrastructureError, match="no-such-program is not installed") as caught:
        tool.run(["no-such-program"])
    assert "doctor --install" in caught.value.hint


def test_a_program_that_does_not_end() -> None:
    with pytest.raises(InfrastructureError, match="sleep took longer than 0 s"):
        tool.run(["sleep", "60"], seconds=0.1)


def test_a_program_that_fails() -> None:
    assert tool.run(["sh", "-c", "exit 3"]).returncode == 3
    with pytest.raises(InfrastructureError, match="sh failed with status 3: why"):
        tool.check(["sh", "-c", "echo why >&2; exit 3"])
    assert tool.check(["echo", "fine"]) == "fine\n"
