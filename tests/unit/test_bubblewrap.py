# SPDX-License-Identifier: GPL-2.0-only
"""How bubblewrap is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.archive import bubblewrap
from harness.errors import InfrastructureError

PROC = "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
ROOT = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"


@pytest.mark.parametrize(("mounts", "program"), [(PROC + ROOT, "bwrap"), (PROC, "unshare")])
def test_a_root_directory_that_is_no_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, program: str
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(mounts)
    monkeypatch.setattr(bubblewrap, "_MOUNTS", table)
    words = bubblewrap.command(["--dev-bind", "/", "/", "true"])
    assert words[0] == program
    assert words[-4:] == ["--dev-bind", "/", "/", "true"]


def test_a_machine_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="bwrap is not installed"):
        bubblewrap.command(["true"])
